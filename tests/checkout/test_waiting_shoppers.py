"""Shoppers who wait for the end of their checkout block no other request, and are not cut off."""

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

import pytest

from contracts.patterns import CHOREOGRAPHED, ORCHESTRATED
from httpapi.waiting import MOST_WAITING
from stack import children
from tests.checkout.shop import START_PATHS, Shop, body_of
from tests.waiting import eventually

SHOPPERS = 60
ONE_TOO_MANY = 16
LONG = 30
"""Seconds that each shopper waits; as long would the process be deaf if they held its slots."""
DEAF = 5.0
OUT_WITHIN = 5.0
PULSE = 0.05
WAITING_PROCESSES = ("carrito", "saga_orchestrator", "saga_choreography")


@dataclass(frozen=True)
class Answer:
    status: int
    saga: str
    stands: str
    connection: str | None
    seconds: float


def check_out(shop: Shop, cart: str, pattern: str, door: str, *, wait: int) -> Answer:
    """Checks out over a connection of its own, and waits for the answer."""
    service, path = ("carrito", "/checkout/saga") if door == "carrito" else START_PATHS[pattern]
    host = urlsplit(shop.stack.urls[service]).netloc
    link, asked_at = http.client.HTTPConnection(host, timeout=LONG + 30), monotonic()
    headers = {"Content-Type": "application/json", "Prefer": f"wait={wait}"}
    link.request("POST", path, json.dumps(body_of(cart, pattern)), headers)
    response = link.getresponse()
    body = json.loads(response.read())
    link.close()
    assert response.status in (200, 202), body
    closing = response.getheader("Connection")
    return Answer(response.status, body["saga_id"], body["status"], closing, monotonic() - asked_at)


@contextmanager
def shoppers(
    shop: Shop, carts: Sequence[str], pattern: str, door: str = "carrito", *, wait: int = LONG
) -> Iterator[list[Future[Answer]]]:
    """Starts a checkout of every cart at once."""
    with ThreadPoolExecutor(len(carts)) as threads:
        yield [threads.submit(check_out, shop, cart, pattern, door, wait=wait) for cart in carts]


@contextmanager
def asked_for_its_health(shop: Shop, path: str) -> Iterator[list[tuple[int, float]]]:
    """Asks each web process within the block; yields the statuses and their delays."""
    answers: list[tuple[int, float]] = []
    is_over = threading.Event()

    def ask(service: str) -> None:
        while not is_over.wait(PULSE):
            asked_at = monotonic()
            status = shop.request("GET", service, path).status
            answers.append((status, monotonic() - asked_at))

    with ThreadPoolExecutor(len(WAITING_PROCESSES)) as threads:
        asking = [threads.submit(ask, process) for process in WAITING_PROCESSES]
        try:
            yield answers
        finally:
            is_over.set()
    for future in asking:
        future.result()


@contextmanager
def nothing_ends(shop: Shop, pattern: str) -> Iterator[Callable[[], None]]:
    """Sagas accepted within the block go no further, until the yielded function is called."""
    moved_by = "inventario.worker" if pattern == CHOREOGRAPHED else "saga_orchestrator.worker"
    shop.stack.kill(moved_by, signal.SIGSTOP)
    try:
        yield lambda: shop.stack.kill(moved_by, signal.SIGCONT)
    finally:
        shop.stack.kill(moved_by, signal.SIGCONT)


def accepted(shop: Shop, carts: Sequence[str]) -> bool:
    count = "SELECT count(*) FROM carrito_checkout WHERE cart_id = ANY(%s)"
    return shop.rows("carrito", count, [list(carts)]) == [(len(carts),)]


@pytest.mark.parametrize("door", ["carrito", "coordinator"])
def test_sixty_waiting_shoppers_get_the_outcome_and_no_process_is_blocked(shop, pattern, door):
    if (door, pattern) == ("coordinator", "orchestrated_messaging"):
        pytest.skip("a coordinator's door starts its first pattern")
    carts = shop.carts(SHOPPERS, product=shop.product(quantity=SHOPPERS))
    with (
        asked_for_its_health(shop, "/health") as health,
        shoppers(shop, carts, pattern, door) as waiting,
    ):
        ends = Counter((future.result().status, future.result().stands) for future in waiting)
    assert ends == {(200, "completed"): SHOPPERS}
    assert {status for status, _ in health} == {200}
    assert max(seconds for _, seconds in health) < DEAF


@pytest.mark.parametrize("door", ["carrito", "coordinator"])
def test_further_waiting_requests_are_answered_at_once_and_others_are_served(shop, door):
    carts = shop.carts(MOST_WAITING + ONE_TOO_MANY, product=shop.product(quantity=1000))
    with (
        nothing_ends(shop, ORCHESTRATED) as go_on,
        asked_for_its_health(shop, "/health/ready") as health,
        shoppers(shop, carts, ORCHESTRATED, door) as waiting,
    ):
        done = eventually(
            lambda: [future for future in waiting if future.done()][ONE_TOO_MANY - 1 :]
        )
        assert len(done) == 1
        assert shop.cart(product=shop.product(quantity=1))
        assert not [future for future in waiting if future.done()][ONE_TOO_MANY:]
        go_on()
        answers = [future.result() for future in waiting]
    statuses = Counter(answer.status for answer in answers)
    assert statuses == {200: MOST_WAITING, 202: ONE_TOO_MANY}
    assert max(seconds for _, seconds in health) < DEAF
    assert shop.all_ended([answer.saga for answer in answers]) == {"completed": len(carts)}


def test_two_clients_that_wait_for_a_saga_both_get_its_outcome(shop, pattern):
    cart = shop.cart(product=shop.product(quantity=1))
    with nothing_ends(shop, pattern) as go_on, ThreadPoolExecutor(3) as threads:

        def wait(seconds: int) -> tuple[int, dict[str, str]]:
            preference = {"Idempotency_Key": f"two-{cart}", "Prefer": f"wait={seconds}"}
            return shop.check_out(cart, pattern, **preference)

        patient = [threads.submit(wait, LONG) for _ in range(2)]
        assert threads.submit(wait, 1).result()[0] == 202
        go_on()
        assert [future.result()[0] for future in patient] == [200, 200]


@pytest.mark.parametrize("service", WAITING_PROCESSES)
def test_process_that_is_stopped_answers_waiting_requests_and_exits(shop, service):
    pattern = CHOREOGRAPHED if service == "saga_choreography" else ORCHESTRATED
    door = "carrito" if service == "carrito" else "coordinator"
    carts = shop.carts(SHOPPERS, product=shop.product(quantity=SHOPPERS))
    with nothing_ends(shop, pattern), shoppers(shop, carts, pattern, door) as waiting:
        eventually(lambda: accepted(shop, carts), what="all are accepted")
        process = children.identify(shop.stack.processes[f"{service}.web"])
        os.kill(process["pid"], signal.SIGTERM)
        assert children.wait_for_end(process, seconds=OUT_WITHIN)
        answers = [future.result() for future in waiting]
    assert {(answer.status, answer.stands) for answer in answers} == {(202, "pending")}
    assert {answer.connection for answer in answers} == {"close"}
    shop.stack.wait_ready()
    assert shop.all_ended([answer.saga for answer in answers]) == {"completed": SHOPPERS}
