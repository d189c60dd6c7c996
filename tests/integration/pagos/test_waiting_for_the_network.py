"""A charge waits for the card network: whatever fails in between, money is taken once."""

from decimal import Decimal

import pytest
from django.db import connections

from catalogue import refusals
from catalogue.commands import Charge
from contracts.outcomes import NOTHING_TO_UNDO, Done, Refused, Waiting
from contracts.saga import Undo
from coordination.decision_components import Overdue
from httpapi import slots
from httpapi.client import Unreachable
from pagos import desk, operations, store
from pagos.models import BarrierEntry, Decision, Payment
from participant.decisions import asked_of
from participant.executing import execute
from participant.operations import blocks
from tarjetas.models import Charge as NetworkCharge

pytestmark = pytest.mark.django_db(databases=["pagos", "tarjetas"])


def charge(saga_id="s", *, method="credit_card"):
    command = Charge(
        saga_id=saga_id,
        step="process_payment",
        saga="checkout",
        subject="c",
        amount=Decimal("12.50"),
        payment_method=method,
    )
    return execute(operation=operations.charge, commands=[command])[0].outcome


def ask(operation, saga_id="s"):
    command = Undo(saga_id=saga_id, step="process_payment", saga="checkout")
    return execute(operation=operation, commands=[command])[0].outcome


def kept() -> Decimal:
    """The money that the network has taken and not given back."""
    return sum(
        (
            network_charge.amount
            for network_charge in NetworkCharge.objects.filter(status="captured")
        ),
        Decimal(0),
    )


def make_due():
    """Makes the intents of requests due for the desk."""
    store.ask_again(seconds={payment.pk: 0.0 for payment in Payment.objects.exclude(ask_at=None)})


@pytest.fixture
def worker():
    """A worker's desk that asks only in a test's calls; requests do not ask the network."""
    found = desk.Desk()
    asked_of(service="pagos", decided_by=operations.NETWORK, system=found.give)
    yield found
    asked_of(service="pagos", decided_by=operations.NETWORK, system=desk.AT_ONCE.ask)


class Dead(BaseException):
    """The process ends here."""


def test_network_that_is_away_leaves_the_step_waiting_until_a_named_time(card_network, monkeypatch):
    def away(**_):
        raise Unreachable("refused")

    monkeypatch.setattr(card_network, "charge", away)
    waiting = charge()
    assert isinstance(waiting, Waiting)
    assert (waiting.decided_by, waiting.until is None) == ("card_network", False)
    assert Payment.objects.get().status == "pending"
    assert Decision.objects.get().is_to_be_told


def test_worker_takes_the_money_that_a_request_could_not(worker):
    assert isinstance(charge(), Waiting)
    make_due()
    assert worker.ask_due() == 1
    assert isinstance(charge(), Done)
    assert kept() == Decimal("12.50")
    assert Decision.objects.get().verdict == "yes"


def test_worker_that_stops_leaves_its_payments_to_the_next_at_once(worker):
    assert isinstance(charge(), Waiting)
    assert desk.Desk().ask_due() == 0  # its writer asks first
    worker._leave()
    assert desk.Desk().ask_due() == 1
    assert isinstance(charge(), Done)


def test_answer_that_was_lost_is_asked_for_again_and_takes_nothing_more(worker, monkeypatch):
    assert isinstance(charge(), Waiting)

    def dies(*_, **__):
        raise Dead

    with monkeypatch.context() as patched:
        patched.setattr(desk, "_follow", dies)
        make_due()
        with pytest.raises(Dead):
            worker.ask_due()
    assert kept() == Decimal("12.50")
    assert Payment.objects.get().status == "pending"
    make_due()
    worker.ask_due()
    assert isinstance(charge(), Done)
    assert kept() == Decimal("12.50")


def test_capture_under_a_new_key_takes_the_money_twice(worker, monkeypatch):
    """The control: without the saga's key a lost answer costs a second charge."""
    keys = iter("ab")
    monkeypatch.setattr(store.ToAsk, "key", property(lambda self: next(keys)))
    assert isinstance(charge(), Waiting)
    with monkeypatch.context() as patched:
        patched.setattr(desk, "_follow", lambda *_: None)
        make_due()
        worker.ask_due()
    make_due()
    worker.ask_due()
    assert kept() == Decimal("25.00")


@pytest.mark.parametrize("taken_before", [True, False])
def test_undo_while_the_network_is_asked_keeps_no_money(worker, monkeypatch, taken_before):
    charge()
    if taken_before:
        with monkeypatch.context() as patched:
            patched.setattr(desk, "_follow", lambda *_: None)
            make_due()
            worker.ask_due()
    assert ask(operations.refund) == NOTHING_TO_UNDO
    assert charge() == Refused(refusals.ABORTED, charge().detail)
    make_due()
    worker.ask_due()
    assert kept() == 0
    assert Payment.objects.get().ask_at is None
    assert Decision.objects.get().verdict == "withdrawn"


def test_charge_on_its_way_takes_nothing_once_its_key_is_void(worker, card_network):
    """The undo overtakes the call: it reaches the network first."""
    charge()
    (late,) = store.to_ask(keys=[("s", "process_payment")])
    ask(operations.refund)
    make_due()
    worker.ask_due()
    (answer,) = card_network.charge(payments=[late])
    assert (answer.status, answer.code) == ("refused", "voided")
    assert kept() == 0


def test_block_while_the_network_is_asked_refuses_the_step_for_good(worker):
    charge()
    assert ask(blocks(operations.charge)).code == refusals.ABORTED
    assert charge().code == refusals.ABORTED
    make_due()
    worker.ask_due()
    assert kept() == 0


def test_network_that_never_answers_ends_in_a_refusal_and_a_refund(worker, settings, monkeypatch):
    settings.NETWORK_SECONDS = 0
    charge()
    with monkeypatch.context() as patched:
        patched.setattr(desk, "_follow", lambda *_: None)
        make_due()
        worker.ask_due()
    assert Overdue(service="pagos").sweep_once() == 1
    assert charge().code == refusals.NETWORK_UNAVAILABLE
    make_due()
    worker.ask_due()
    assert kept() == 0


def test_answer_after_the_time_is_over_changes_nothing(worker, settings):
    settings.NETWORK_SECONDS = 0
    charge()
    Overdue(service="pagos").sweep_once()
    (payment,) = Payment.objects.all()
    assert (payment.status, BarrierEntry.objects.get().status) == ("cancelled", "refused")
    decided = desk.decide(
        service="pagos",
        action="charge",
        given=[desk.GivenVerdict(saga_id="s", step="process_payment", word="yes")],
        decided_by=operations.NETWORK,
    )
    assert [executed.fresh for executed in decided] == [False]
    assert Payment.objects.get().status == "cancelled"


def test_slow_card_holds_up_no_other(worker, settings):
    settings.SLOW_CARD_SECONDS = 60
    assert isinstance(charge("slow", method="slow_card"), Waiting)
    charge("quick")
    make_due()
    worker.ask_due()
    assert isinstance(charge("quick"), Done)
    assert isinstance(charge("slow", method="slow_card"), Waiting)


def test_refund_is_sent_to_the_network_until_it_answers(worker, card_network, monkeypatch):
    charge()
    make_due()
    worker.ask_due()
    assert isinstance(ask(operations.refund), Done)

    def away(**_):
        raise Unreachable("refused")

    with monkeypatch.context() as patched:
        patched.setattr(card_network, "refund", away)
        worker.ask_due()
        assert worker.complaints()
    assert kept() == Decimal("12.50")
    make_due()
    worker.ask_due()
    assert kept() == 0
    assert not worker.complaints()


def test_payment_that_the_network_cannot_read_holds_up_no_other(worker, card_network, monkeypatch):
    charge("poison")
    charge("well")
    real = card_network.charge

    def picky(*, payments):
        if any(payment.saga_id == "poison" for payment in payments):
            raise Unreachable("422 what is that?", status=422)
        return real(payments=payments)

    monkeypatch.setattr(card_network, "charge", picky)
    make_due()
    worker.ask_due()
    assert isinstance(charge("well"), Done)
    assert isinstance(charge("poison"), Waiting)
    assert "can't be settled" in worker.complaints()[0].what


@pytest.mark.django_db(databases=["pagos", "tarjetas"], transaction=True)
def test_request_holds_no_connection_while_it_asks_and_makes_no_other_for_it(
    card_network, monkeypatch
):
    held = []
    real = card_network.charge

    def watched(*, payments):
        held.append(hasattr(connections._connections, "pagos"))
        return real(payments=payments)

    monkeypatch.setattr(card_network, "charge", watched)
    with slots.working.taken():
        before = connections["pagos"]
        assert isinstance(charge(), Done)
        assert connections["pagos"] is before
    assert held == [False]
