"""An undo that keeps failing: a few tries with increasing delays, then it is parked for an
operator.

The fault is real: pagos's database refuses every refund. All patterns at once, in real time.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import psycopg
import pytest

from contracts.patterns import PATTERNS
from stack import record, status
from stack.demo import Demo
from tests.checkout.shop import START_PATHS, STATE_PATHS, body_of
from tests.waiting import eventually

MOST_TRIES = 5

# A sequence keeps what a transaction that is rolled back has counted.
_SEQUENCES = [f"tries_{name}" for name in PATTERNS]
CLOSE_THE_LEDGER = (
    "".join(f"CREATE SEQUENCE {name};" for name in _SEQUENCES)
    + """
    CREATE FUNCTION refuse_refund() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        PERFORM nextval('tries_' || (SELECT merchant_id FROM pagos_payment
                                     WHERE id = NEW.payment_id));
        RAISE EXCEPTION 'the ledger is closed';
    END $$;
    CREATE TRIGGER refuse_refund BEFORE INSERT ON pagos_refund
        FOR EACH ROW EXECUTE FUNCTION refuse_refund();
"""
)
OPEN_IT_AGAIN = f"""
    DROP TRIGGER refuse_refund ON pagos_refund;
    DROP FUNCTION refuse_refund;
    DROP SEQUENCE {", ".join(_SEQUENCES)};
"""


class Stuck(NamedTuple):
    """A saga per pattern that is parked, and when each try of its refund was seen."""

    sagas: dict[str, str]
    tries: dict[str, list[float]]


@pytest.fixture(scope="module")
def ledger(shop) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shop.stack.superuser_urls["pagos"], autocommit=True) as connection:
        connection.execute(CLOSE_THE_LEDGER)
        yield connection
        if connection.execute("SELECT to_regclass('tries_orchestrated')").fetchone() != (None,):
            connection.execute(OPEN_IT_AGAIN)


@pytest.fixture(scope="module")
def stuck(shop, ledger) -> Stuck:
    """Returns of completed sagas, whose refunds are tried until they are parked."""
    product = shop.product(quantity=10)
    sagas = {}
    for pattern in list(PATTERNS):
        _, accepted = shop.check_out(shop.cart(product=product), pattern)
        saga_id = sagas[pattern] = accepted["saga_id"]
        shop.state_when(saga_id, pattern, "completed")
        ledger.execute(
            "UPDATE pagos_payment SET merchant_id = %s WHERE saga_id = %s", [pattern, saga_id]
        )
        assert shop.compensate(saga_id, pattern, requested_by="eva")[0] == 202
    tries: dict[str, list[float]] = {pattern: [] for pattern in sagas}
    watching = threading.Event()
    watcher = threading.Thread(target=watch, args=[ledger, tries, watching])
    watcher.start()
    for pattern, saga_id in sagas.items():
        eventually(
            lambda: shop.state(saga_id, pattern)["status"] == "parked",  # noqa: B023 -- called here
            seconds=40,
            what=f"{pattern} is parked",
        )
    watching.set()
    watcher.join()
    return Stuck(sagas, tries)


def watch(ledger: psycopg.Connection, tries: dict[str, list[float]], stop: threading.Event) -> None:
    """Records when it sees each new try."""
    while not stop.wait(0.02):
        for pattern, seen in tries.items():
            row = ledger.execute(f"SELECT last_value, is_called FROM tries_{pattern}").fetchone()
            if row[1] and row[0] > len(seen):
                seen += [time.monotonic()] * (row[0] - len(seen))


def test_undo_that_keeps_failing_is_tried_a_few_times_with_growing_delays(stuck, pattern):
    seen = stuck.tries[pattern]
    gaps = [later - earlier for earlier, later in itertools.pairwise(seen)]
    assert len(seen) == MOST_TRIES
    assert gaps[-1] >= 1.0
    assert gaps[-1] > gaps[0]


def test_parked_saga_names_its_step_and_error(shop, stuck, pattern):
    state = shop.state(stuck.sagas[pattern], pattern)
    assert state["parked"]["step"] == state["current_step"] == "process_payment"
    errors = {step["step_name"]: step["error"] for step in state["steps"]}
    # A call returns only the status of a fault; a message also has its kind.
    expected = "500" if pattern == "orchestrated" else "the database refuses it (P0001)"
    assert expected in state["parked"]["reason"]
    assert expected in errors["process_payment"]


def test_health_of_the_coordinator_names_the_parked_saga(shop, stuck, pattern):
    status, health = shop.call("GET", STATE_PATHS[pattern][0], "/health")
    named = {saga["saga_id"]: saga["parked"] for saga in health["parked_sagas"]["oldest"]}
    assert status == 200
    assert named[stuck.sagas[pattern]]["step"] == "process_payment"


def test_status_names_each_parked_saga_and_no_process_is_unhealthy(shop, stuck):
    known = record.read(shop.stack.folder)
    report = status.read(known, shop.stack.folder)
    table = status.as_table(known, report)
    for saga_id in stuck.sagas.values():
        assert saga_id in table
    assert "waits for a person" in table
    assert all(row.is_healthy for row in report.rows)


def test_other_sagas_go_on_meanwhile(shop, stuck, pattern):
    cart = shop.cart(product=shop.product(quantity=1))
    assert shop.ended(shop.check_out(cart, pattern)[1]["saga_id"])["status"] == "completed"


def test_parked_saga_is_tried_no_more(stuck, ledger, pattern):
    row = ledger.execute(f"SELECT last_value FROM tries_{pattern}").fetchone()
    assert row == (MOST_TRIES,)


def test_operators_retry_completes_it_once_the_cause_is_fixed(shop, stuck, ledger):
    ledger.execute(OPEN_IT_AGAIN)
    for pattern, saga_id in stuck.sagas.items():
        service, path = STATE_PATHS[pattern]
        asked = {"requested_by": "eva", "reason": "the ledger is open again"}
        status, body = shop.call("POST", service, f"{path.format(saga_id)}/retry", asked)
        assert status == 202, body
        shop.state_when(saga_id, pattern, "compensated")
        assert shop.money(saga_id)[0] == "refunded"
        table = f"{service}_intervention"
        rows = shop.rows(
            service,
            f"SELECT requested_by, reason, requested_at IS NOT NULL FROM {table}"
            " WHERE saga_id = %s AND action = 'retry'",
            [saga_id],
        )
        assert rows == [("eva", "the ledger is open again", True)]


def test_paused_saga_is_refused_at_every_door_while_running_sagas_go_on(shop):
    cart = shop.cart(product=shop.product(quantity=1))
    running = shop.check_out(cart, "choreographed")[1]["saga_id"]
    asked = {"saga": "checkout", "requested_by": "eva", "reason": "stocktaking"}
    assert shop.call("POST", "carrito", "/carrito/pauses", asked)[0] == 201
    try:
        for pattern, (service, door) in [*START_PATHS.items(), ("", ("carrito", "/checkout/saga"))]:
            wanted = body_of("none-such", pattern or "orchestrated")

            def refused() -> Any:
                status, body = shop.call("POST", service, door, wanted)  # noqa: B023 -- called here
                return body if status == 503 else None

            refusal = eventually(refused, seconds=5, what=f"{service} has noticed")
            assert refusal["code"] == "paused"
            assert "paused by eva: stocktaking" in refusal["detail"]
        known = record.read(shop.stack.folder)
        assert "paused by eva" in status.as_table(known, status.read(known, shop.stack.folder))
        assert shop.ended(running)["status"] == "completed"
    finally:
        path = f"/carrito/pauses?{urlencode(asked)}"
        resumed = shop.call("DELETE", "carrito", path)[0]
    assert resumed == 200

    eventually(
        lambda: shop.check_out("none-such", "orchestrated")[0] == 404,
        seconds=5,
        what="it is accepted again",
    )


def test_demo_shows_a_refund_that_is_parked_and_retried(shop):
    lines: list[str] = []
    Demo(urls=shop.stack.urls, say=lines.append, passes=shop.stack.passes).run(
        pattern="choreographed"
    )
    output = "\n".join(lines)
    for name in PATTERNS:
        assert f"{name}, credit_card: completed" in output
    assert "choreographed, card_declined: compensated" in output
    assert "parked at process_payment" in output
    assert "Its account is closed: PATCH /api/v1/payments/" in output
    assert "compensated: 25.00 went back to paypal" in output
