"""Acceptance: the cart is locked and frozen, the checkout recorded, once."""

import threading
import uuid
from decimal import Decimal

import pytest
from django.db import IntegrityError, connections

from carrito import operations, store
from carrito.models import (
    Address,
    BarrierEntry,
    Cart,
    CartItem,
    Checkout,
    IdempotencyKey,
    Order,
    OutboxEntry,
)
from carrito.operations import OWNER, Accept
from carrito.views import _acceptance
from catalogue import refusals
from catalogue.commands import Conclude, CreateOrder, Line
from contracts.outcomes import Done, Failure, Refused
from contracts.saga import Undo
from coordination.store import AcceptedSagas
from httpapi.problems import Problem
from participant import sql
from participant.executing import execute
from tests.threads import at_once as at_once_each

pytestmark = pytest.mark.django_db(transaction=True, databases=["carrito"])


@pytest.fixture
def cart():
    cart = Cart.objects.create(id=str(uuid.uuid4()), user_id="ana")
    CartItem.objects.create(cart=cart, product_id="1", quantity=2, unit_price="10.05")
    CartItem.objects.create(cart=cart, product_id="2", quantity=1, unit_price="0.90")
    return cart


def command_for(cart_id, *, key="", fingerprint="", saga_pattern="orchestrated", **fields):
    return Accept(
        saga_id=str(uuid.uuid4()),
        saga="checkout",
        step="accept_checkout",
        cart_id=cart_id,
        payment_method="credit_card",
        saga_pattern=saga_pattern,
        idempotency_key=key,
        fingerprint=fingerprint,
        **fields,
    )


def accept(cart_id, **options):
    return _acceptance.accept(command=command_for(cart_id, **options))


ACCEPTING = {"saga": "checkout", "step": "accept_checkout"}


def of(kind, saga_id, **fields):
    """A saga's own command; the steps of the checkout are called as carrito's operations."""
    return kind(saga_id=saga_id, saga="checkout", **fields)


def ordering(saga_id):
    total = Checkout.objects.get(pk=saga_id).total_amount
    return of(CreateOrder, saga_id, paid=total)


def outcome_of(operation, command):
    return execute(operation=operation, commands=[command])[0].outcome


def test_accepted_cart_is_locked_and_its_total_frozen(cart):
    accepted = accept(cart.id)
    assert accepted.told["total_amount"] == "21.00"
    assert Cart.objects.get(pk=cart.pk).status == "checking_out"
    CartItem.objects.filter(cart=cart).update(unit_price="99.00")
    (frozen,) = OWNER.sagas.not_handed_over(patterns=["orchestrated"], limit=10)
    assert frozen.data["total_amount"] == "21.00"
    kept = Checkout.objects.get(pk=accepted.saga_id).items
    assert [line["unit_price"] for line in kept] == ["10.05", "0.90"]


def test_steps_see_what_they_need_and_no_address(cart):
    address = {"street": "Calle Mayor 1", "city": "Madrid"}
    accepted = accept(cart.id, billing_address=address)
    (frozen,) = OWNER.sagas.not_handed_over(patterns=["orchestrated"], limit=10)
    assert set(frozen.data) == {"items", "total_amount", "payment_method"}
    assert Address.objects.get(pk=accepted.saga_id).address == address


def test_choreographed_checkout_publishes_its_first_event_itself(cart):
    accepted = accept(cart.id, saga_pattern="choreographed")
    (entry,) = OutboxEntry.objects.all()
    assert (entry.event_type, entry.saga_id) == (
        "checkout.checkout.initiated",
        accepted.saga_id,
    )
    assert "Calle" not in entry.body
    row = Checkout.objects.get(pk=accepted.saga_id)
    assert row.status == "running"
    # The worker hands it over only if it has not ended for long.
    net = {"patterns": ["choreographed"], "limit": 10}
    assert not OWNER.sagas.not_handed_over(**net, older_than_seconds=5)
    assert [checkout.saga_id for checkout in OWNER.sagas.not_handed_over(**net)] == [
        accepted.saga_id
    ]


def test_refused_choreographed_checkout_publishes_nothing(cart):
    CartItem.objects.all().delete()
    with pytest.raises(Problem):
        accept(cart.id, saga_pattern="choreographed")
    assert not OutboxEntry.objects.exists()


def test_second_checkout_of_a_cart_is_refused(cart):
    accept(cart.id)
    with pytest.raises(Problem) as refused:
        accept(cart.id)
    assert refused.value.code == refusals.CART_IN_CHECKOUT


def test_empty_cart_is_refused_and_leaves_nothing(cart):
    CartItem.objects.all().delete()
    with pytest.raises(Problem) as refused:
        accept(cart.id)
    assert refused.value.code == refusals.EMPTY_CART
    assert not Checkout.objects.exists()
    assert not BarrierEntry.objects.exists()


def test_cart_of_another_user_is_refused(cart):
    with pytest.raises(Problem) as refused:
        accept(cart.id, user_id="eva")
    assert refused.value.code == refusals.CART_OF_ANOTHER_USER


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE carrito_cartitem SET quantity = 1000001", refusals.CART_TOO_LARGE),
        (
            "UPDATE carrito_cartitem SET quantity = 1000000, unit_price = 9999999999.99",
            refusals.CART_TOO_LARGE,
        ),
        (
            "INSERT INTO carrito_cartitem (cart_id, product_id, quantity, unit_price)"
            " SELECT id, 'p' || n, 1, 1 FROM carrito_cart, generate_series(1, 200) AS n",
            refusals.CART_TOO_LARGE,
        ),
        ("UPDATE carrito_cart SET status = 'foo'", refusals.UNREADABLE),
    ],
)
def test_cart_that_no_step_could_take_is_refused_and_left(cart, statement, code):
    sql.execute(service="carrito", sql=statement)
    healthy = Cart.objects.create(id=str(uuid.uuid4()), user_id="ana")
    CartItem.objects.create(cart=healthy, product_id="1", quantity=1, unit_price="1.00")
    commands = [command_for(cart.id), command_for(healthy.id)]
    refused, done = [
        executed.outcome for executed in execute(operation=operations.accept, commands=commands)
    ]
    assert refused.code == code
    assert isinstance(done, Done)
    assert Checkout.objects.count() == 1


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "-1", "0.001", "10000000000"])
def test_price_that_is_no_money_is_refused(price):
    refused = operations.decide_size(lines=[Line("1", 1, Decimal(price))])
    assert refused.code == refusals.UNREADABLE


def test_same_key_gives_the_same_saga(cart):
    first = accept(cart.id, key="k", fingerprint="f")
    again = accept(cart.id, key="k", fingerprint="f")
    assert (first.saga_id, first.is_new) == (again.saga_id, True)
    assert not again.is_new


def test_same_key_with_another_body_is_refused(cart):
    accept(cart.id, key="k", fingerprint="f")
    with pytest.raises(Problem) as refused:
        accept(cart.id, key="k", fingerprint="g")
    assert refused.value.code == refusals.KEY_REUSED
    assert BarrierEntry.objects.count() == 1


def test_same_key_of_another_user_is_another_checkout(cart):
    other = Cart.objects.create(id=str(uuid.uuid4()), user_id="eva")
    CartItem.objects.create(cart=other, product_id="1", quantity=1, unit_price="10.05")
    first = accept(cart.id, key="k", fingerprint="f")
    second = accept(other.id, key="k", fingerprint="g")
    assert second.is_new
    assert first.saga_id != second.saga_id


def test_key_of_one_cart_is_no_way_into_the_checkout_of_another_user(cart):
    accept(cart.id, key="k", fingerprint="f")
    with pytest.raises(Problem) as refused:
        accept(cart.id, key="k", fingerprint="f", user_id="eva")
    assert refused.value.code == refusals.CART_OF_ANOTHER_USER


def test_refused_key_may_be_tried_again(cart):
    item = CartItem.objects.filter(cart=cart).first()
    CartItem.objects.all().delete()
    with pytest.raises(Problem):
        accept(cart.id, key="k", fingerprint="f")
    item.save(force_insert=True)
    assert accept(cart.id, key="k", fingerprint="f").is_new


def at_once(count, call):
    """The results of `count` threads that run `call` at the same moment; exceptions as values."""
    barrier = threading.Barrier(count)
    results = []

    def run():
        barrier.wait()
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 -- a result like any other here
            results.append(error)
        finally:
            connections["carrito"].close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_fifty_at_once_with_one_key_are_one_saga(cart):
    results = at_once(50, lambda: accept(cart.id, key="k", fingerprint="f"))
    assert len({result.saga_id for result in results}) == 1
    assert sum(result.is_new for result in results) == 1
    assert Checkout.objects.count() == 1


def test_fifty_at_once_with_one_key_past_the_batcher_are_one_saga(cart):
    """They come as from fifty processes: the key's constraint makes them wait for the first."""
    results = at_once(
        50, lambda: outcome_of(operations.accept, command_for(cart.id, key="k", fingerprint="f"))
    )
    sagas_of = {result.data.get("repeats") for result in results if isinstance(result, Done)}
    assert sagas_of == {None, Checkout.objects.get().saga_id}
    assert IdempotencyKey.objects.count() == 1


def test_one_key_for_two_carts_at_once_is_one_checkout(cart):
    other = Cart.objects.create(id=str(uuid.uuid4()), user_id="ana")
    CartItem.objects.create(cart=other, product_id="1", quantity=1, unit_price="10.05")
    carts = [cart.id, other.id]
    results = at_once_each(
        [
            lambda cart_id=cart_id: outcome_of(
                operations.accept, command_for(cart_id, key="k", fingerprint=cart_id)
            )
            for cart_id in carts
        ],
        service="carrito",
    )
    assert sorted(getattr(result, "code", "accepted") for result in results) == [
        "accepted",
        "idempotency_key_reused",
    ]
    assert Checkout.objects.count() == 1


def test_without_the_keys_constraint_one_key_is_many_checkouts(cart, monkeypatch):
    """The control: the table of keys is off."""
    monkeypatch.setattr(AcceptedSagas, "take_keys", lambda self, *, keys: {})
    accept(cart.id, key="k", fingerprint="f")
    with pytest.raises(Problem):  # and not the first checkout again
        accept(cart.id, key="k", fingerprint="f")


def test_twenty_at_once_without_key_are_one_saga_and_refusals(cart):
    results = at_once(20, lambda: accept(cart.id))
    refused = [result for result in results if isinstance(result, Problem)]
    assert len(refused) == 19
    assert {refusal.code for refusal in refused} == {refusals.CART_IN_CHECKOUT}


def test_without_the_lock_the_constraint_still_holds_one_checkout_a_cart(cart, monkeypatch):
    """The control: without the lock only the database's constraint prevents it."""
    all_have_read = threading.Barrier(20)

    def unlocked(statement, values):
        rows = sql.execute(
            service="carrito", sql=statement.replace("FOR NO KEY UPDATE", ""), values=values
        )
        if "FOR NO KEY UPDATE" in statement:
            all_have_read.wait(30)
        return rows

    monkeypatch.setattr(store, "_execute", unlocked)
    # Without batching, as from twenty processes.
    results = at_once(20, lambda: outcome_of(operations.accept, command_for(cart.id)))
    assert any(isinstance(result, IntegrityError) for result in results)
    assert Checkout.objects.filter(ended_at=None).count() == 1


def test_unlock_reports_failed_where_the_reservation_was_refused(cart):
    saga_id = accept(cart.id).saga_id
    failure = Failure("reserve_inventory", refusals.OUT_OF_STOCK, "none left")
    outcome_of(operations.fail_checkout, Undo(saga_id=saga_id, **ACCEPTING, failure=failure))
    ended = Checkout.objects.get(pk=saga_id)
    assert (ended.status, ended.failure_code) == ("failed", "out_of_stock")
    assert ended.ended_at is not None
    assert Cart.objects.get(pk=cart.pk).status == "active"


def test_unlock_reports_compensated_where_a_step_was_undone(cart):
    saga_id = accept(cart.id).saga_id
    failure = Failure("process_payment", refusals.CARD_DECLINED, undone=True)
    outcome_of(operations.fail_checkout, Undo(saga_id=saga_id, **ACCEPTING, failure=failure))
    assert Checkout.objects.get(pk=saga_id).status == "compensated"


def test_unlocked_cart_can_be_checked_out_again(cart):
    saga_id = accept(cart.id).saga_id
    outcome_of(operations.fail_checkout, Undo(saga_id=saga_id, **ACCEPTING))
    assert accept(cart.id).is_new


def test_confirmed_order_completes_the_checkout_at_the_same_moment(cart):
    saga_id = accept(cart.id).saga_id
    outcome_of(operations.create_order, ordering(saga_id))
    outcome_of(operations.confirm_order, of(Conclude, saga_id, evidence="1"))
    ended = Checkout.objects.select_related("order").get(pk=saga_id)
    assert (ended.status, ended.order.status) == ("completed", "confirmed")
    assert ended.ended_at == ended.order.confirmed_at
    assert Cart.objects.get(pk=cart.pk).status == "checked_out"


def test_bought_cart_cannot_be_bought_again(cart):
    saga_id = accept(cart.id).saga_id
    outcome_of(operations.create_order, ordering(saga_id))
    outcome_of(operations.confirm_order, of(Conclude, saga_id, evidence="1"))
    with pytest.raises(Problem) as refused:
        accept(cart.id)
    assert refused.value.code == refusals.CART_CHECKED_OUT


def test_order_of_no_checkout_is_refused():
    outcome = outcome_of(operations.create_order, CreateOrder(saga_id="none"))
    assert isinstance(outcome, Refused)
    assert outcome.code == refusals.NO_CHECKOUT


def test_order_after_its_cancellation_is_refused(cart):
    saga_id = accept(cart.id).saga_id
    cancelled = outcome_of(operations.cancel_order, of(Undo, saga_id))
    created = outcome_of(operations.create_order, ordering(saga_id))
    assert isinstance(cancelled, Done)
    assert created.code == refusals.ABORTED
    assert not Order.objects.exists()
