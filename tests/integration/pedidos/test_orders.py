"""Accept, complete and fail: their effects on the order's row."""

import uuid
from decimal import Decimal

import msgspec
import pytest

from catalogue import refusals
from catalogue.commands import CompleteOrder
from contracts.outcomes import Done, Failure
from contracts.saga import Undo
from coordination.owner_views import Acceptance
from httpapi.problems import Problem
from participant.executing import execute
from participant.sql import Damaged
from pedidos import operations
from pedidos.models import BarrierEntry, IdempotencyKey, Order, OutboxEntry
from pedidos.operations import OWNER, Accept, OrderItem
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["pedidos"])

OF_SAGA = {"saga": "fulfilment"}


def command(*, key: str = "", fingerprint: str = "", user_id: str = "ana") -> Accept:
    return Accept(
        saga_id=str(uuid.uuid4()),
        saga="fulfilment",
        step="accept_order",
        saga_pattern="choreographed",
        user_id=user_id,
        items=[OrderItem(product_id="1", sku="product_1", name="Laptop", quantity=1)],
        total_amount=Decimal("10.00"),
        payment_method="credit_card",
        idempotency_key=key,
        fingerprint=fingerprint,
    )


@pytest.fixture
def acceptance():
    return Acceptance(owner=OWNER)


@pytest.fixture
def order(acceptance):
    return Order.objects.get(pk=acceptance.accept(command=command()).saga_id)


def fail(order: Order, failure: Failure | None = None):
    undo = Undo(saga_id=order.pk, step="accept_order", failure=failure, **OF_SAGA)
    return execute(operation=operations.fail_order, commands=[undo])[0].outcome


def complete(order: Order, *, paid: str = "10.00"):
    completion = CompleteOrder(
        saga_id=order.pk,
        step="complete_order",
        evidence="1",
        paid=Decimal(paid),
        **OF_SAGA,
    )
    return execute(operation=operations.complete, commands=[completion])[0].outcome


def state(order: Order) -> tuple[str, str, bool]:
    order.refresh_from_db()
    return order.order_status, order.status, order.ended_at is not None


def test_completed_order_has_ended(order):
    assert state(order) == ("pending", "running", False)
    assert isinstance(complete(order), Done)
    assert state(order) == ("completed", "completed", True)


@pytest.mark.parametrize("paid", ["0", "0.01", "10.01"])
def test_order_of_which_something_else_was_paid_is_left_to_a_person(order, paid):
    with pytest.raises(Damaged, match=r"was paid, and 10\.00 is due"):
        complete(order, paid=paid)
    assert state(order) == ("pending", "running", False)
    assert isinstance(complete(order), Done)


def test_no_saga_completes_an_order_without_what_its_commit_has_answered():
    whose = {"saga_id": "s", "step": "complete_order", **OF_SAGA}
    with pytest.raises(msgspec.ValidationError, match="evidence"):
        msgspec.convert(whose, CompleteOrder)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure("reserve_inventory", refusals.OUT_OF_STOCK), ("failed", "failed", True)),
        (
            Failure("schedule_delivery", refusals.NO_COURIER_FREE, undone=True),
            ("failed", "compensated", True),
        ),
        (Failure("", refusals.STOPPED, undone=True), ("cancelled", "compensated", True)),
        (None, ("cancelled", "failed", True)),
    ],
)
def test_order_without_success_is_failed_or_cancelled(order, failure, expected):
    fail(order, failure)
    assert state(order) == expected


def test_completed_order_that_is_given_back_is_cancelled(order):
    complete(order)
    fail(order, Failure("", refusals.STOPPED, undone=True))
    assert state(order) == ("cancelled", "compensated", True)


def test_order_that_a_person_has_ended_is_not_completed_after_that(order):
    fail(order, Failure("accept_order", refusals.DISCARDED))
    assert complete(order).code == refusals.NO_ORDER
    assert state(order) == ("failed", "failed", True)


def test_sagas_own_order_is_neither_ended_nor_completed_by_hand(order):
    by_hand = [
        execute(operation=operation, commands=[kind(saga_id=order.pk)])[0].outcome
        for operation, kind in ((operations.complete, CompleteOrder), (operations.fail_order, Undo))
    ]
    assert {refusal.code for refusal in by_hand} == {refusals.PART_OF_A_SAGA}
    assert state(order) == ("pending", "running", False)


def test_key_with_another_body_leaves_nothing(acceptance):
    acceptance.accept(command=command(key="k", fingerprint="one"))
    with pytest.raises(Problem) as refused:
        acceptance.accept(command=command(key="k", fingerprint="other"))
    assert refused.value.code == refusals.KEY_REUSED
    models = (Order, BarrierEntry, IdempotencyKey, OutboxEntry)
    assert [model.objects.count() for model in models] == [1, 1, 1, 1]


def test_fifty_at_once_with_one_key_are_one_order(acceptance):
    calls = [lambda: acceptance.accept(command=command(key="k", fingerprint="f"))] * 50
    taken = at_once(calls, service="pedidos")
    assert len({result.saga_id for result in taken}) == 1
    assert sum(result.is_new for result in taken) == 1
    assert Order.objects.count() == OutboxEntry.objects.count() == 1
