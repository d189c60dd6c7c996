"""Every effect that outlasts a process lies between two points, where the chaos tests kill it."""

import re
from pathlib import Path

import pytest

from contracts.patterns import HAS_TEMPORAL, TEMPORAL
from tests.architecture import failpoints
from tests.architecture.effects import shop_modules, uncovered
from tests.architecture.tree import ROOT
from tests.chaos.cases import all_cases, one_process_each, reached_in, rounds

NEED_NO_POINTS = {
    "httpapi.keys._fetched": "reads public keys, and changes nothing",
    "messaging.partitions.Share.leave": "locks that end with the connection, too, and a wake-up",
    "carrito.views.CartsView.post": "filling a cart is in no saga",
    "carrito.views.CartItemsView.post": "filling a cart is in no saga",
    "carrito.views.CartItemView.patch": "filling a cart is in no saga",
    "carrito.views.CartItemView.delete": "filling a cart is in no saga",
    "inventario.views.ProductsView.post": "the catalogue is in no saga",
    "inventario.views.ProductView.patch": "the catalogue is in no saga",
    "inventario.views.RestockView.post": "the catalogue is in no saga",
    "envios.views.CouriersView.post": "a courier is in no saga",
    "reservas.views.SlotsView.post": "a slot is in no saga",
    "envios.views.InTransitView.post": "a delivery on its way is in no saga",
    "pagos.views.PlainPaymentsView.post": "a payment outside of any saga",
    "pagos.views.PaymentView.patch": "an operator's one statement: made again, it changes nothing",
    "pagos.views.AnyRefundView.post": "a payment outside of any saga",
    "pagos.views.CreditsView.post": "what an account may spend is in no saga",
    "pagos.desk.AtOnce.ask": "what it leaves to the worker is due there in any case",
    "pagos.desk.Desk.run": "a payment that was not asked about is due again",
    "pagos.desk.Desk.ask_due": "a claim is a lease: it ends, and the payment is due again",
    "httpapi.client.Client.get": "a GET changes nothing",
    "messaging.wakeups._tell": "a lost wake-up costs a look at the table",
    "messaging.wakeups._Notifier._notify": "a lost wake-up costs a sweep, never work",
    "messaging.worker.HeartbeatWriter.beat": "a sign of life: the next one comes in a second",
    "messaging.worker.HeartbeatWriter.sign_off": "a row that is left is of a worker that died",
    "messaging.retention.Deleting._delete": "deletes what is long over; the next look does it too",
    "coordination.store._count_ended": "counts in this process alone, which starts at zero again",
    "coordination.closing.forget_all": "deletes what is long over; its owner asks until it is gone",
    "saga_orchestrator.store.forget_sagas": "in the transaction of forget_all",
    "saga_temporal.store.forget_sagas": "in the transaction of forget_all",
    "saga_choreography.store.forget_sagas": "in the transaction of forget_all",
    "coordination.closing.Closing._close": "what it leaves half done, the next look does too",
    "messaging.outbox.retry": "an operator's one statement: the answer shows what became of it",
    "messaging.outbox.discard": "an operator's one statement: the answer shows what became of it",
    "coordination.pausing.pause": "an operator's one statement: made again, it changes nothing",
    "coordination.pausing.resume": "an operator's one statement: made again, it changes nothing",
    "messaging.relay.Relay._mark": "marks what is confirmed; the next sweep does it too",
    "messaging.failed.retry": "an operator's one statement: the admin shows what became of it",
    "messaging.failed.discard": "an operator's one statement: the admin shows what became of it",
    "saga_temporal.store.take_lost": "a claim is a lease: it ends, and the saga is taken again",
    "saga_choreography.operations.compensate": "in the transaction of its caller",
    "saga_choreography.operations.retry": "in the transaction of its caller",
    "saga_choreography.operations.skip": "in the transaction of its caller",
    "saga_choreography.watchdog._help": "in the transaction of _do",
    "saga_choreography.watchdog._park": "in the transaction of _do",
}
"""Functions with effects that no point is around, and why."""

DAMAGE = {
    "a publish": ("messaging.relay", "def more(self):\n    self.broker.publish([])"),
    "a publish beside the points of another": (
        "messaging.relay",
        "def more(self):\n    failpoints.reach('a.b')\n    self.broker.publish([])",
    ),
    "two with one point between the function's ends": (
        "messaging.relay",
        "def more(self):\n    failpoints.reach('a.b')\n    self.broker.publish([])\n"
        "    self.broker.publish([])\n    failpoints.reach('a.c')",
    ),
    "an ack": ("messaging.consumer", "def more(subscription):\n    subscription.ack([])"),
    "a call": ("httpapi.client", "def more(pool):\n    pool.urlopen('POST', '/')"),
    "a transaction": (
        "saga_choreography.tracking",
        "def more():\n    with transaction.atomic(using=SERVICE):\n        pass",
    ),
    "a transaction without a point before its end": (
        "saga_choreography.tracking",
        "def more():\n    failpoints.reach('a.b')\n    with transaction.atomic(using=SERVICE):\n"
        "        trail.settle(settled=[])\n        trail.settle(settled=[])\n"
        "    with transaction.atomic(using=SERVICE):\n        pass\n    failpoints.reach('a.c')",
    ),
    "a statement that writes": (
        "carrito.store",
        "def more():\n    sql.execute(service='carrito', sql='UPDATE carrito_cart SET x = 1')",
    ),
    "a statement that writes, two calls away": (
        "saga_orchestrator.worker",
        "def more():\n    store.forget_runner(runner_id=1)",
    ),
    "a row saved": ("saga_orchestrator.operations", "def more(saga):\n    saga.save()"),
    "what runs on commit": (
        "saga_orchestrator.operations",
        "def quietly():\n    pass\n\ndef more():\n    transaction.on_commit(quietly)",
    ),
}


TAKEN_AWAY = [
    "executing.before_commit",
    "executing.after_commit",
    "relay.before_publish",
    "relay.confirmed",
    "relay.settled",
    "consumer.before_ack",
    "consumer.acked",
    "executor.before_record",
    "executor.recorded",
    "runner.claimed",
    "handover.before_mark",
    "client.answered",
    "tracking.before_commit",
    "watchdog.after_commit",
    "intervention.committed",
    "failed.inserted",
]


def test_every_effect_lies_between_two_points() -> None:
    wrong = uncovered(shop_modules(), excused=NEED_NO_POINTS)
    assert not wrong, (
        "put failpoints.reach(...) before and after it (see participant/failpoints.py)"
    )


def test_every_excuse_is_needed() -> None:
    for point in NEED_NO_POINTS:
        assert uncovered(shop_modules(), excused=set(NEED_NO_POINTS) - {point}), point


@pytest.mark.parametrize("what", DAMAGE)
def test_effect_without_points_is_noticed(what: str, tmp_path: Path) -> None:
    module, code = DAMAGE[what]
    damaged = tmp_path / "damaged.py"
    damaged.write_text(f"{shop_modules()[module].read_text()}\n\n{code}\n")
    assert uncovered(shop_modules() | {module: damaged}, excused=NEED_NO_POINTS)


@pytest.mark.parametrize("name", TAKEN_AWAY)
def test_point_taken_away_is_noticed(name: str, tmp_path: Path) -> None:
    (point,) = (point for point in failpoints.all_points() if point.name == name)
    module = point.file.removesuffix(".py").replace("/", ".")
    damaged = tmp_path / "damaged.py"
    code = (ROOT / point.file).read_text()
    damaged.write_text(re.sub(rf'failpoints\.reach\("{name}".*\)', "pass", code))
    assert uncovered(shop_modules() | {module: damaged}, excused=NEED_NO_POINTS)


def test_names_of_points_are_unique_and_well_formed() -> None:
    assert not failpoints.doubled()
    assert not [
        point
        for point in failpoints.all_points()
        if not re.fullmatch(r"[a-z_]+\.[a-z_]+", point.name)
    ]


def test_every_point_has_a_process_that_is_killed_there() -> None:
    without = [point.name for point in failpoints.all_points() if not reached_in(point.name)]
    assert not without, "add it to tests/chaos/cases.py"


def test_every_case_names_an_existing_point() -> None:
    names = {point.name for point in failpoints.all_points()}
    assert {case.point.partition(" of ")[0] for case in all_cases()} <= names


def test_every_process_at_every_point_is_in_some_round() -> None:
    assert sorted(case for cases in rounds(all_cases()) for case in cases) == sorted(all_cases())
    chosen = [(case.pattern, case.point) for case in one_process_each()]
    assert len(chosen) == len(set(chosen))
    possible = [case for case in all_cases() if (case.pattern == TEMPORAL) == HAS_TEMPORAL]
    assert {point for _, point in chosen} == {case.point for case in possible}


def test_document_lists_every_point() -> None:
    assert failpoints.documented() == failpoints.table(), (
        "run `python -m tests.architecture.failpoints`"
    )
