"""The events while processes die.

Each situation prepares, yields, and then acts. "The clock is moved" means that a row's time is
changed, where waiting would take minutes.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from contracts.events import route
from messaging.brokers import Message, connect
from tests.chaos.cases import HANDING_OVER
from tests.chaos.round import Round
from tests.waiting import eventually

Situation = Callable[[Round], Iterator[None]]

_restarting = threading.Lock()


def bought(round_: Round) -> Iterator[None]:
    """Two are bought, one is declined, one is out of stock."""
    good, declined = round_.wanted(2), round_.wanted(1)
    (late,) = round_.wanted(1, quantity=0)
    yield
    round_.buy_all(
        *(partial(round_.buy, wanted) for wanted in good),
        partial(round_.buy_in_vain, declined[0], step="process_payment", method="card_declined"),
        partial(round_.buy_in_vain, late, step="reserve_inventory"),
    )


def doors(round_: Round) -> Iterator[None]:
    """The other doors: at the coordinator, the same key again, a second hand-over."""
    first, second = round_.wanted(2)
    yield
    key = str(uuid.uuid4())
    saga = round_.buy_at(round_.coordinator, round_.door, first, key=key)
    assert round_.buy_at(round_.coordinator, round_.door, first, key=key) == saga
    other = round_.buy(second)
    round_.wait_until_ended(saga, other)
    if round_.hand_over:
        ((context,),) = round_.shop.rows(
            round_.owner, f"SELECT context FROM {round_.owned_in} WHERE saga_id = %s", [other]
        )
        status, outcomes = round_.certainly("POST", round_.coordinator, round_.hand_over, [context])
        assert (status, len(outcomes)) == (207, 1)


def handed_over(round_: Round) -> Iterator[None]:
    """The accepting process hands sagas over, one after the other; the worker the others."""
    every = round_.wanted(len(HANDING_OVER))
    yield
    for wanted in every:
        round_.wait_until_ended(round_.buy(wanted))


def handed_over_late(round_: Round) -> Iterator[None]:
    """The orchestrator was down at the acceptance, and the accepting process has died since."""
    (wanted,) = round_.wanted(1)
    with _not_handed_over(round_):
        round_.buy(wanted)
    yield
    round_.shop.stack.restart("saga_orchestrator.web")


def watched_late(round_: Round) -> Iterator[None]:
    """A choreographed saga's events don't reach its coordinator: its owner hands it over."""
    (wanted,) = round_.wanted(1)
    round_.shop.stack.stop_process("saga_choreography.worker")
    yield
    marked = f"{round_.owned_in} WHERE saga_id = %s AND handed_over_at IS NOT NULL"
    saga = round_.buy(wanted)
    eventually(
        partial(round_.is_there, round_.owner, marked, [saga]),
        seconds=180,
        what="its watcher has it",
    )
    round_.shop.stack.restart("saga_choreography.worker")


def returned(round_: Round) -> Iterator[None]:
    """A completed saga is returned."""
    (wanted,) = round_.wanted(1)
    saga = round_.buy(wanted)
    round_.wait_until_ended(saga)
    round_.shop.state_when(saga, round_.pattern, "completed")
    yield
    round_.compensate(saga)


def aborted(round_: Round) -> Iterator[None]:
    """The watchdog finds a saga past its deadline (the clock is moved)."""
    (wanted,) = round_.wanted(1)
    yield
    with _charge_held(round_):
        saga = round_.buy(wanted, ends="compensated")
        _wait_for_event(round_, saga, "inventory.reserved")
        _look_at(round_, saga, started_ago="1 day")
        _wait_for_event(round_, saga, "inventory.commit.failed")


def redriven(round_: Round) -> Iterator[None]:
    """The watchdog finds a saga that has not moved for long (the clock is moved)."""
    (wanted,) = round_.wanted(1)
    yield
    with _charge_held(round_):
        saga = round_.buy(wanted)
        _wait_for_event(round_, saga, "inventory.reserved")
        round_.shop.write(
            "saga_choreography",
            "UPDATE saga_choreography_sagaevent SET seen_at = seen_at - interval '1 day'"
            " WHERE saga_id = %s",
            [saga],
        )
        _look_at(round_, saga, started_ago="1 second")
        eventually(
            lambda: round_.is_there(
                "saga_choreography",
                "saga_choreography_saga WHERE saga_id = %s AND redrives > 0",
                [saga],
            ),
            what="the saga is redriven",
        )


def expired(round_: Round) -> Iterator[None]:
    """The reservation's time is over before the commit (the clock is moved)."""
    (wanted,) = round_.wanted(1)
    yield
    with _charge_held(round_) as held:
        saga = round_.buy(wanted, ends="compensated")
        held()
        round_.shop.write(
            "inventario",
            "UPDATE inventario_reservation SET expires_at = now() WHERE saga_id = %s",
            [saga],
        )
        eventually(
            lambda: round_.is_there(
                "inventario",
                "inventario_reservation WHERE saga_id = %s AND status = 'expired'",
                [saga],
            ),
            what="the reservation expires",
        )


def damaged(round_: Round) -> Iterator[None]:
    """Two unreadable rows: one is fixed and retried, one is discarded."""
    first, second = round_.wanted(2)
    where = f"{round_.owned_in} WHERE saga_id = %s"
    change = f"UPDATE {round_.owned_in} SET context = %s::jsonb WHERE saga_id = %s"
    written = {}
    round_.shop.stack.stop_process(f"{round_.owner}.worker")
    with _not_handed_over(round_):
        fixed, lost = round_.buy(first), round_.buy(second, ends="failed")
        for saga in (fixed, lost):
            ((written[saga],),) = round_.shop.rows(
                round_.owner, f"SELECT context::text FROM {where}", [saga]
            )
            round_.shop.write(round_.owner, change, ["{}", saga])
    yield
    round_.shop.stack.restart("saga_orchestrator.web")
    round_.shop.stack.restart(f"{round_.owner}.worker")
    for saga in (fixed, lost):
        dead_lettered = f"{where} AND dead_lettered_at IS NOT NULL"
        eventually(
            partial(round_.is_there, round_.owner, dead_lettered, [saga]),
            what="it is dead-lettered",
        )
        round_.shop.write(round_.owner, change, [written[saga], saga])
    below = {"carrito": "checkouts", "pedidos": "orders"}[round_.owner]
    for saga, action in ((fixed, "retry"), (lost, "discard")):
        status, body = round_.certainly("POST", round_.owner, f"/{below}/{saga}/{action}", {})
        assert status in (200, 202, 409), body  # 409: it was done, and the answer died
    ended = f"{where} AND ended_at IS NOT NULL"
    eventually(partial(round_.is_there, round_.owner, ended, [lost]), what="it ends without a sale")
    del round_.expected[lost]  # no coordinator knows it


def unreadable(round_: Round) -> Iterator[None]:
    """A program publishes a message that is no event."""
    (wanted,) = round_.wanted(1)
    yield
    broken = Message(str(uuid.uuid4()), route("checkout", "checkout.initiated"), b"{}")
    broker = connect(str(round_.shop.stack.rabbitmq_url))
    broker.publish([broken])
    broker.close()
    round_.buy(wanted)
    eventually(
        lambda: round_.is_there(
            "inventario", "inventario_failedmessage WHERE event_id = %s", [broken.id]
        ),
        what="the message waits for a person",
    )


def faulting(round_: Round) -> Iterator[None]:
    """A charge faults twice, and then no more."""
    (wanted,) = round_.wanted(1)
    yield
    with _no_payments(round_):
        saga = round_.buy(wanted)
        _wait_for_failed(round_, saga, "attempts > 1")
    _wait_for_failed(round_, saga, "status = 'handled'")


def charged_by_hand(round_: Round) -> Iterator[None]:
    """A client without a saga calls the card network until it answers: once for each charge."""
    keys = sorted(str(uuid.uuid4()) for _ in range(4))
    wanted = {"amount": "12.50", "payment_method": "credit_card"}
    yield
    for key in keys:
        charge = round_.certainly("POST", "tarjetas", "/charges", {**wanted, "key": key})
        refund = round_.certainly("POST", "tarjetas", "/refunds", {"key": key})
        assert (charge[1]["status"], refund[1]["status"]) == ("captured", "refunded")
    charges = round_.shop.rows(
        "tarjetas", "SELECT key, status FROM tarjetas_charge WHERE key = ANY(%s)", [keys]
    )
    assert sorted(charges) == [(key, "refunded") for key in keys]


def paid_by_hand(round_: Round) -> Iterator[None]:
    """A merchant pays outside of any saga, under a key, until that is answered."""
    key, order = str(uuid.uuid4()), str(uuid.uuid4())
    asked = {"merchant_id": "m", "order_id": order, "amount": "12.50"}
    body = {**asked, "payment_method": "credit_card"}
    yield
    status, answer = round_.certainly(
        "POST", "pagos", "/api/v1/payments", body, Idempotency_Key=key
    )
    assert status in (201, 202), answer
    paid = "pagos_payment WHERE order_id = %s AND status = 'captured'"
    eventually(partial(round_.is_there, "pagos", paid, [order]), what="the money is taken")


def confirmed(round_: Round) -> Iterator[None]:
    """Customers confirm their payments, at both doors, until that is answered."""
    area = {"province": f"Province {uuid.uuid4()}", "city": "Plaza"}
    body = {"name": "Eva", "phone_number": "+53 5", "capacity": 4, **area}
    status, made = round_.certainly("POST", "envios", "/couriers", body)
    assert status == 201, made
    yield
    for number in range(4):
        saga = round_.order(area)
        asked = "pagos_decision WHERE saga_id = %s AND verdict = '' AND closed_at IS NULL"
        eventually(partial(round_.is_there, "pagos", asked, [saga]), what="its customer is asked")
        ((payment,),) = round_.shop.rows(
            "pagos", "SELECT id FROM pagos_payment WHERE saga_id = %s", [saga]
        )
        path, verdict = f"/payments/{payment}/confirm", {}
        if number % 2:
            path = f"/decisions/{saga}/confirm_payment"
            verdict = {"verdict": "yes", "by": "eva"}
        status, answer = round_.certainly("POST", "pagos", path, verdict)
        assert status in (200, 202), answer
        round_.wait_until_ended(saga)


def given_up(round_: Round) -> Iterator[None]:
    """A charge faults every time."""
    (wanted,) = round_.wanted(1)
    yield
    with _no_payments(round_):
        saga = round_.buy(wanted, ends="compensated")
        _wait_for_failed(round_, saga, "status = 'dead_lettered'")


def unknown_steps(round_: Round) -> Iterator[None]:
    """A saga that this version of the code can't read; then a readable one."""
    (wanted,) = round_.wanted(1)
    round_.shop.stack.stop_process("saga_orchestrator.worker")
    yield
    saga = round_.buy(wanted)
    where = "saga_orchestrator_saga WHERE saga_id = %s"
    eventually(
        lambda: round_.is_there("saga_orchestrator", where, [saga]), what="the saga is there"
    )
    change = "UPDATE saga_orchestrator_saga SET context = %s::jsonb WHERE saga_id = %s"
    ((context,),) = round_.shop.rows(
        "saga_orchestrator", f"SELECT context::text FROM {where}", [saga]
    )
    round_.shop.write("saga_orchestrator", change, ["{}", saga])
    round_.shop.stack.restart("saga_orchestrator.worker")
    parked = f"{where} AND status = 'parked'"
    eventually(
        lambda: round_.is_there("saga_orchestrator", parked, [saga]), what="the saga is parked"
    )
    round_.shop.write("saga_orchestrator", change, [context, saga])
    status, body = round_.certainly("POST", "saga_orchestrator", f"/saga/{saga}/retry", {})
    assert status == 202, body


def stopped(round_: Round) -> Iterator[None]:
    """An abort is requested while a reply is in flight, and the runner is busy."""
    runner = ("saga_orchestrator.worker", "runner.before_claim")
    (wanted,) = round_.wanted(1)
    yield
    with _charge_held(round_) as held:
        saga = round_.buy(wanted, ends="compensated")
        held()
        round_.triggers.hold(*runner)
        round_.triggers.wait(*runner)
        round_.compensate(saga)
    charged = "saga_orchestrator_sagastep WHERE saga_id = %s AND name = %s AND status = 'completed'"
    eventually(
        lambda: round_.is_there("saga_orchestrator", charged, [saga, "process_payment"]),
        what="the reply is consumed",
    )
    round_.triggers.release(*runner)


def stopping(round_: Round) -> Iterator[None]:
    """The runner is stopped with sagas in flight."""
    every = round_.wanted(3)
    yield
    round_.buy_all(*(partial(round_.buy, wanted) for wanted in every))
    round_.shop.stack.stop_process("saga_orchestrator.worker")
    round_.shop.stack.restart("saga_orchestrator.worker")


def without_database(round_: Round) -> Iterator[None]:
    """PostgreSQL restarts while a batch is in flight."""
    process, point = {
        "orchestrated": ("saga_orchestrator.worker", "client.answered"),
        "choreographed": ("pagos.worker", "consumer.taken"),
    }[round_.pattern]
    (wanted,) = round_.wanted(1)
    yield
    round_.triggers.hold(process, point)
    round_.buy(wanted)
    round_.triggers.wait(process, point)
    restart_database(round_)
    round_.triggers.release(process, point)


SITUATIONS: dict[str, Situation] = {
    **{
        situation.__name__: situation
        for situation in (
            *(bought, doors, handed_over, handed_over_late, watched_late, returned, aborted),
            *(redriven, expired, damaged, unreadable, faulting, given_up, unknown_steps),
            *(stopped, stopping, without_database, charged_by_hand, paid_by_hand, confirmed),
        )
    },
    "handled_late": faulting,
}


def restart_database(round_: Round) -> None:
    """Restarts PostgreSQL as after a crash; returns when it accepts connections again."""
    with _restarting:
        round_.shop.stack.restart("postgres")
        round_.shop.rows("carrito", "SELECT 1")


@contextmanager
def _not_handed_over(round_: Round) -> Iterator[None]:
    """Sagas accepted within the block are left to the worker: the orchestrator stays down, and the
    accepting process dies with its retries.
    """
    round_.shop.stack.stop_process("saga_orchestrator.web")
    yield
    round_.shop.stack.restart(f"{round_.owner}.web")


@contextmanager
def _charge_held(round_: Round) -> Iterator[Callable[[], None]]:
    """The payment is not committed within the block. Yields the wait until it would be."""
    process = f"pagos.{round_.steps_run_in}"
    point = "executing.before_commit of do pagos.charge"
    round_.triggers.hold(process, point)
    try:
        yield lambda: round_.triggers.wait(process, point)
    finally:
        round_.triggers.release(process, point)


@contextmanager
def _no_payments(round_: Round) -> Iterator[None]:
    """Every charge faults within the block."""
    round_.shop.write(
        "pagos",
        "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'a fault of the test'; END $$;"
        "CREATE TRIGGER fault BEFORE INSERT ON pagos_payment EXECUTE FUNCTION fault()",
    )
    try:
        yield
    finally:
        round_.shop.write("pagos", "DROP TRIGGER fault ON pagos_payment")


def _wait_for_failed(round_: Round, saga: str, condition: str) -> None:
    """Waits until pagos has such a failed message of the saga, and cuts its delays short."""
    selection = f"pagos_failedmessage WHERE saga_id = %s AND {condition}"

    def look() -> bool:
        round_.shop.write(
            "pagos",
            "UPDATE pagos_failedmessage SET next_attempt_at = now()"
            " WHERE saga_id = %s AND status = 'retrying' AND next_attempt_at > now()",
            [saga],
        )
        return round_.is_there("pagos", selection, [saga])

    eventually(look, seconds=180, what=f"a failed message: {condition}")


def _look_at(round_: Round, saga: str, *, started_ago: str) -> None:
    """Makes the watchdog look at the saga now."""
    round_.shop.write(
        "saga_choreography",
        "UPDATE saga_choreography_saga SET watch_at = now(), started_at = now() - %s::interval"
        " WHERE saga_id = %s",
        [started_ago, saga],
    )


def _wait_for_event(round_: Round, saga: str, event: str) -> None:
    selection = "saga_choreography_sagaevent WHERE saga_id = %s AND event_type = %s"
    eventually(
        lambda: round_.is_there("saga_choreography", selection, [saga, event]),
        what=f"{event} is seen",
    )
