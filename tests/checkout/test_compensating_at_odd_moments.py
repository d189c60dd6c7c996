"""A user whose abort is answered with 202 gets the saga undone, whatever the moment.

More of it: DUETO_ODD_SAGAS=200 DUETO_ODD_ROUNDS=10.
"""

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.checkout.shop import ENDED, STATE_PATHS, Shop
from tests.waiting import eventually

SAGAS = int(os.environ.get("DUETO_ODD_SAGAS", "40"))
ROUNDS = int(os.environ.get("DUETO_ODD_ROUNDS", "1"))
AT_ONCE = 6
LATEST_SECONDS = 0.4
"""After the checkout's own 202: a saga takes some 20 to 150 ms, on a busy machine more."""
UNDONE = {"compensated", "failed"}
REFUSALS = {"not_started", "past_pivot", "already_undone"}


class Asked(NamedTuple):
    """A saga, and the answers to the requests to undo it."""

    saga_id: str
    answers: list[tuple[int, str]]

    @property
    def is_promised(self) -> bool:
        return any(status == 202 for status, _ in self.answers)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_each_202_is_kept_and_no_saga_stands(shop, pattern, number):
    product = shop.product(quantity=SAGAS)
    moments = random.Random(number)
    with ThreadPoolExecutor(8) as shoppers, ThreadPoolExecutor(64) as persons:
        asked = list(
            shoppers.map(
                lambda cart: buy_and_regret(
                    shop, pattern, cart, moments.uniform(0, LATEST_SECONDS), persons
                ),
                shop.carts(SAGAS, product=product),
            )
        )
    unexpected = [
        answer for saga in asked for answer in saga.answers if answer[1] not in {"", *REFUSALS}
    ]
    assert not unexpected
    ends = eventually(lambda: ends_of(shop, pattern, asked), seconds=90, what="all have ended")
    kept = Counter((saga.is_promised, ends[saga.saga_id]) for saga in asked)
    assert all(end in UNDONE for is_promised, end in kept if is_promised), kept
    assert shop.stock(product)[1] == 0


def buy_and_regret(
    shop: Shop, pattern: str, cart: str, seconds: float, persons: ThreadPoolExecutor
) -> Asked:
    """Checks out; that many seconds later six people at once request that it be undone."""

    def begun() -> Any:
        """If a server was down before this, each thread of a process fails once."""
        status, body = shop.check_out(cart, pattern)
        assert status in (202, 503), body
        return body if status == 202 else None

    body = eventually(begun, seconds=10, what="the checkout is accepted")
    service, path = STATE_PATHS[pattern]
    path = path.format(body["saga_id"]) + "/compensate"

    def ask() -> tuple[int, str]:
        status, answer = shop.call("POST", service, path, {"requested_by": "eva"})
        return status, "" if status == 202 else str(answer["code"])

    asked = after(seconds, lambda: [persons.submit(ask) for _ in range(AT_ONCE)])
    return Asked(body["saga_id"], [future.result() for future in asked])


def after(
    seconds: float, begin: Callable[[], list[Future[tuple[int, str]]]]
) -> list[Future[tuple[int, str]]]:
    """Starts after the delay: the test is about the moment."""
    begun: Future[list[Future[tuple[int, str]]]] = Future()
    threading.Timer(seconds, lambda: begun.set_result(begin())).start()
    return begun.result(timeout=seconds + 60)


def ends_of(shop: Shop, pattern: str, asked: list[Asked]) -> dict[str, str] | None:
    """The end of each saga; None while it is in flight, or being undone."""
    ends = {}
    for saga in asked:
        end, known = shop.status(saga.saga_id)["status"], shop.state(saga.saga_id, pattern)
        if end not in ENDED or end != known["status"]:
            return None
        ends[saga.saga_id] = end
    return ends
