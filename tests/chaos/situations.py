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


def bought(this: Round) -> Iterator[None]:
    """Two are bought, one is declined, one is out of stock."""
    good, declined = this.wanted(2), this.wanted(1)
    (late,) = this.wanted(1, quantity=0)
    yield
    this.buy_all(
        *(partial(this.buy, wanted) for wanted in good),
        partial(this.buy_in_vain, declined[0], step="process_payment", method="card_declined"),
        partial(this.buy_in_vain, late, step="reserve_inventory"),
    )


def doors(this: Round) -> Iterator[None]:
    """The other ways in: at the coordinator, the same key again, handed over again."""
    first, second = this.wanted(2)
    yield
    key = str(uuid.uuid4())
    saga = this.buy_at(this.coordinator, this.door, first, key=key)
    assert this.buy_at(this.coordinator, this.door, first, key=key) == saga
    other = this.buy(second)
    this.wait_until_ended(saga, other)
    if this.hand_over:
        ((context,),) = this.shop.rows(
            this.owner, f"SELECT context FROM {this.owned_in} WHERE saga_id = %s", [other]
        )
        status, outcomes = this.certainly("POST", this.coordinator, this.hand_over, [context])
        assert (status, len(outcomes)) == (207, 1)


def handed_over(this: Round) -> Iterator[None]:
    """By the process that accepts, one after the other; the rest by the worker."""
    every = this.wanted(len(HANDING_OVER))
    yield
    for wanted in every:
        this.wait_until_ended(this.buy(wanted))


def handed_over_late(this: Round) -> Iterator[None]:
    """The orchestrator was down at the acceptance, and the accepting process has died since."""
    (wanted,) = this.wanted(1)
    with _not_handed_over(this):
        this.buy(wanted)
    yield
    this.shop.stack.restart("saga_orchestrator.web")


def watched_late(this: Round) -> Iterator[None]:
    """Choreographed, its events have not reached its coordinator, so its owner hands it over."""
    (wanted,) = this.wanted(1)
    this.shop.stack.stop_process("saga_choreography.worker")
    yield
    told = f"{this.owned_in} WHERE saga_id = %s AND handed_over_at IS NOT NULL"
    saga = this.buy(wanted)
    eventually(
        partial(this.is_there, this.owner, told, [saga]), seconds=180, what="its watcher is told"
    )
    this.shop.stack.restart("saga_choreography.worker")


def returned(this: Round) -> Iterator[None]:
    """A completed saga is returned."""
    (wanted,) = this.wanted(1)
    saga = this.buy(wanted)
    this.wait_until_ended(saga)
    this.shop.state_when(saga, this.pattern, "completed")
    yield
    this.compensate(saga)


def aborted(this: Round) -> Iterator[None]:
    """The watchdog finds it past its deadline (the clock is moved)."""
    (wanted,) = this.wanted(1)
    yield
    with _charge_held(this):
        saga = this.buy(wanted, ends="compensated")
        _wait_for_event(this, saga, "inventory.reserved")
        _look_at(this, saga, started_ago="1 day")
        _wait_for_event(this, saga, "inventory.commit.failed")


def redriven(this: Round) -> Iterator[None]:
    """The watchdog finds that it has not moved for long (the clock is moved)."""
    (wanted,) = this.wanted(1)
    yield
    with _charge_held(this):
        saga = this.buy(wanted)
        _wait_for_event(this, saga, "inventory.reserved")
        this.shop.write(
            "saga_choreography",
            "UPDATE saga_choreography_sagaevent SET seen_at = seen_at - interval '1 day'"
            " WHERE saga_id = %s",
            [saga],
        )
        _look_at(this, saga, started_ago="1 second")
        eventually(
            lambda: this.is_there(
                "saga_choreography",
                "saga_choreography_saga WHERE saga_id = %s AND redrives > 0",
                [saga],
            ),
            what="it is redriven",
        )


def expired(this: Round) -> Iterator[None]:
    """The reservation's time is over before the commit (the clock is moved)."""
    (wanted,) = this.wanted(1)
    yield
    with _charge_held(this) as held:
        saga = this.buy(wanted, ends="compensated")
        held()
        this.shop.write(
            "inventario",
            "UPDATE inventario_reservation SET expires_at = now() WHERE saga_id = %s",
            [saga],
        )
        eventually(
            lambda: this.is_there(
                "inventario",
                "inventario_reservation WHERE saga_id = %s AND status = 'expired'",
                [saga],
            ),
            what="it expires",
        )


def damaged(this: Round) -> Iterator[None]:
    """Two unreadable rows: one is fixed and retried, one is discarded."""
    first, second = this.wanted(2)
    where = f"{this.owned_in} WHERE saga_id = %s"
    change = f"UPDATE {this.owned_in} SET context = %s::jsonb WHERE saga_id = %s"
    written = {}
    this.shop.stack.stop_process(f"{this.owner}.worker")
    with _not_handed_over(this):
        mended, lost = this.buy(first), this.buy(second, ends="failed")
        for saga in (mended, lost):
            ((written[saga],),) = this.shop.rows(
                this.owner, f"SELECT context::text FROM {where}", [saga]
            )
            this.shop.write(this.owner, change, ["{}", saga])
    yield
    this.shop.stack.restart("saga_orchestrator.web")
    this.shop.stack.restart(f"{this.owner}.worker")
    for saga in (mended, lost):
        aside = f"{where} AND dead_lettered_at IS NOT NULL"
        eventually(partial(this.is_there, this.owner, aside, [saga]), what="it is set aside")
        this.shop.write(this.owner, change, [written[saga], saga])
    below = {"carrito": "checkouts", "pedidos": "orders"}[this.owner]
    for saga, action in ((mended, "retry"), (lost, "discard")):
        status, body = this.certainly("POST", this.owner, f"/{below}/{saga}/{action}", {})
        assert status in (200, 202, 409), body  # 409: it was done, and the answer died
    ended = f"{where} AND ended_at IS NOT NULL"
    eventually(partial(this.is_there, this.owner, ended, [lost]), what="it ends without a sale")
    del this.expected[lost]  # no coordinator has heard of it


def unreadable(this: Round) -> Iterator[None]:
    """A program publishes a message that is no event."""
    (wanted,) = this.wanted(1)
    yield
    broken = Message(str(uuid.uuid4()), route("checkout", "checkout.initiated"), b"{}")
    broker = connect(str(this.shop.stack.rabbitmq_url))
    broker.publish([broken])
    broker.close()
    this.buy(wanted)
    eventually(
        lambda: this.is_there(
            "inventario", "inventario_failedmessage WHERE event_id = %s", [broken.id]
        ),
        what="it waits for a person",
    )


def faulting(this: Round) -> Iterator[None]:
    """A charge faults twice, and then no more."""
    (wanted,) = this.wanted(1)
    yield
    with _no_payments(this):
        saga = this.buy(wanted)
        _wait_aside(this, saga, "attempts > 1")
    _wait_aside(this, saga, "status = 'handled'")


def charged_by_hand(this: Round) -> Iterator[None]:
    """A client without a saga calls the card network until it answers: once for each charge."""
    keys = sorted(str(uuid.uuid4()) for _ in range(4))
    wanted = {"amount": "12.50", "payment_method": "credit_card"}
    yield
    for key in keys:
        charge = this.certainly("POST", "tarjetas", "/charges", {**wanted, "key": key})
        refund = this.certainly("POST", "tarjetas", "/refunds", {"key": key})
        assert (charge[1]["status"], refund[1]["status"]) == ("captured", "refunded")
    found = this.shop.rows(
        "tarjetas", "SELECT key, status FROM tarjetas_charge WHERE key = ANY(%s)", [keys]
    )
    assert sorted(found) == [(key, "refunded") for key in keys]


def paid_by_hand(this: Round) -> Iterator[None]:
    """A merchant pays outside of any saga, under a key, until that is answered."""
    key, order = str(uuid.uuid4()), str(uuid.uuid4())
    asked = {"merchant_id": "m", "order_id": order, "amount": "12.50"}
    body = {**asked, "payment_method": "credit_card"}
    yield
    status, answer = this.certainly("POST", "pagos", "/api/v1/payments", body, Idempotency_Key=key)
    assert status in (201, 202), answer
    paid = "pagos_payment WHERE order_id = %s AND status = 'captured'"
    eventually(partial(this.is_there, "pagos", paid, [order]), what="the money is taken")


def confirmed(this: Round) -> Iterator[None]:
    """Customers confirm their payments, at both doors, until that is answered."""
    area = {"province": f"Province {uuid.uuid4()}", "city": "Plaza"}
    body = {"name": "Eva", "phone_number": "+53 5", "capacity": 4, **area}
    status, made = this.certainly("POST", "envios", "/couriers", body)
    assert status == 201, made
    yield
    for number in range(4):
        saga = this.order(area)
        asked = "pagos_decision WHERE saga_id = %s AND verdict = '' AND closed_at IS NULL"
        eventually(partial(this.is_there, "pagos", asked, [saga]), what="its customer is asked")
        ((payment,),) = this.shop.rows(
            "pagos", "SELECT id FROM pagos_payment WHERE saga_id = %s", [saga]
        )
        path, verdict = f"/payments/{payment}/confirm", {}
        if number % 2:
            path = f"/decisions/{saga}/confirm_payment"
            verdict = {"verdict": "yes", "by": "eva"}
        status, answer = this.certainly("POST", "pagos", path, verdict)
        assert status in (200, 202), answer
        this.wait_until_ended(saga)


def given_up(this: Round) -> Iterator[None]:
    """A charge faults every time."""
    (wanted,) = this.wanted(1)
    yield
    with _no_payments(this):
        saga = this.buy(wanted, ends="compensated")
        _wait_aside(this, saga, "status = 'dead_lettered'")


def unknown_steps(this: Round) -> Iterator[None]:
    """A saga that this version of the code can't read; then a readable one."""
    (wanted,) = this.wanted(1)
    this.shop.stack.stop_process("saga_orchestrator.worker")
    yield
    saga = this.buy(wanted)
    where = "saga_orchestrator_saga WHERE saga_id = %s"
    eventually(lambda: this.is_there("saga_orchestrator", where, [saga]), what="it is there")
    change = "UPDATE saga_orchestrator_saga SET context = %s::jsonb WHERE saga_id = %s"
    ((context,),) = this.shop.rows(
        "saga_orchestrator", f"SELECT context::text FROM {where}", [saga]
    )
    this.shop.write("saga_orchestrator", change, ["{}", saga])
    this.shop.stack.restart("saga_orchestrator.worker")
    parked = f"{where} AND status = 'parked'"
    eventually(lambda: this.is_there("saga_orchestrator", parked, [saga]), what="it is parked")
    this.shop.write("saga_orchestrator", change, [context, saga])
    status, body = this.certainly("POST", "saga_orchestrator", f"/saga/{saga}/retry", {})
    assert status == 202, body


def stopped(this: Round) -> Iterator[None]:
    """An abort is requested while a reply is in flight, and the runner is busy."""
    runner = ("saga_orchestrator.worker", "runner.before_claim")
    (wanted,) = this.wanted(1)
    yield
    with _charge_held(this) as held:
        saga = this.buy(wanted, ends="compensated")
        held()
        this.triggers.hold(*runner)
        this.triggers.wait(*runner)
        this.compensate(saga)
    charged = "saga_orchestrator_sagastep WHERE saga_id = %s AND name = %s AND status = 'completed'"
    eventually(
        lambda: this.is_there("saga_orchestrator", charged, [saga, "process_payment"]),
        what="the reply is heard",
    )
    this.triggers.release(*runner)


def stopping(this: Round) -> Iterator[None]:
    """The runner is stopped in the middle of it."""
    every = this.wanted(3)
    yield
    this.buy_all(*(partial(this.buy, wanted) for wanted in every))
    this.shop.stack.stop_process("saga_orchestrator.worker")
    this.shop.stack.restart("saga_orchestrator.worker")


def without_database(this: Round) -> Iterator[None]:
    """PostgreSQL restarts while a batch is in hand."""
    process, point = {
        "orchestrated": ("saga_orchestrator.worker", "client.answered"),
        "choreographed": ("pagos.worker", "consumer.taken"),
    }[this.pattern]
    (wanted,) = this.wanted(1)
    yield
    this.triggers.hold(process, point)
    this.buy(wanted)
    this.triggers.wait(process, point)
    restart_database(this)
    this.triggers.release(process, point)


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


def restart_database(this: Round) -> None:
    """At once, as after a crash; returns when it takes connections again."""
    with _restarting:
        this.shop.stack.restart("postgres")
        this.shop.rows("carrito", "SELECT 1")


@contextmanager
def _not_handed_over(this: Round) -> Iterator[None]:
    """Sagas accepted within the block are left to the worker: the orchestrator stays down, and the
    accepting process dies with its retries.
    """
    this.shop.stack.stop_process("saga_orchestrator.web")
    yield
    this.shop.stack.restart(f"{this.owner}.web")


@contextmanager
def _charge_held(this: Round) -> Iterator[Callable[[], None]]:
    """The payment is not committed within the block. Yields the wait until it would be."""
    process = f"pagos.{this.steps_run_in}"
    point = "executing.before_commit of do pagos.charge"
    this.triggers.hold(process, point)
    try:
        yield lambda: this.triggers.wait(process, point)
    finally:
        this.triggers.release(process, point)


@contextmanager
def _no_payments(this: Round) -> Iterator[None]:
    """Every charge faults within the block."""
    this.shop.write(
        "pagos",
        "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'a fault of the test'; END $$;"
        "CREATE TRIGGER fault BEFORE INSERT ON pagos_payment EXECUTE FUNCTION fault()",
    )
    try:
        yield
    finally:
        this.shop.write("pagos", "DROP TRIGGER fault ON pagos_payment")


def _wait_aside(this: Round, saga: str, condition: str) -> None:
    """Until pagos has set a message of the saga aside like this; its delays are cut short."""
    rest = f"pagos_failedmessage WHERE saga_id = %s AND {condition}"

    def look() -> bool:
        this.shop.write(
            "pagos",
            "UPDATE pagos_failedmessage SET next_attempt_at = now()"
            " WHERE saga_id = %s AND status = 'retrying' AND next_attempt_at > now()",
            [saga],
        )
        return this.is_there("pagos", rest, [saga])

    eventually(look, seconds=180, what=f"set aside, {condition}")


def _look_at(this: Round, saga: str, *, started_ago: str) -> None:
    """Has the watchdog look at it now."""
    this.shop.write(
        "saga_choreography",
        "UPDATE saga_choreography_saga SET watch_at = now(), started_at = now() - %s::interval"
        " WHERE saga_id = %s",
        [started_ago, saga],
    )


def _wait_for_event(this: Round, saga: str, event: str) -> None:
    rest = "saga_choreography_sagaevent WHERE saga_id = %s AND event_type = %s"
    eventually(
        lambda: this.is_there("saga_choreography", rest, [saga, event]),
        what=f"{event} is seen",
    )
