"""carrito in the admin; checkouts that can't be handed over are retried or discarded there."""

import pytest
from django.utils import timezone

from carrito import operations
from carrito.models import Cart, CartItem, Checkout
from participant.executing import execute
from tests.admin_pages import act, look_at_all

pytestmark = pytest.mark.django_db(databases=["default", "carrito"])


@pytest.fixture
def checkout():
    cart = Cart.objects.create(id="c", user_id="ana")
    CartItem.objects.create(cart=cart, product_id="1", quantity=2, unit_price="10.05")
    command = operations.Accept(
        saga_id="s",
        saga="checkout",
        step="accept_checkout",
        cart_id="c",
        payment_method="credit_card",
        saga_pattern="orchestrated",
    )
    execute(operation=operations.accept, commands=[command])
    return Checkout.objects.get()


def test_every_list_and_every_row_can_be_looked_at(admin_client, checkout):
    look_at_all(admin_client, "carrito", at_least=["Cart", "Checkout", "Order", "IdempotencyKey"])


@pytest.mark.parametrize(("action", "cart"), [("retry", "checking_out"), ("discard", "active")])
def test_checkout_that_was_dead_lettered_is_acted_on(admin_client, checkout, action, cart):
    why = {"reason": "its cart is gone"} if action == "discard" else {}
    assert "not dead-lettered" in act(admin_client, Checkout, action, checkout.pk, **why)
    Checkout.objects.update(dead_lettered_at=timezone.now(), dead_letter_reason="odd")
    if why:
        page = act(admin_client, Checkout, action, checkout.pk)
        assert "Discard 1 checkout?" in page
        assert "20.10 in all" in page
        assert Checkout.objects.get().dead_lettered_at
    assert "1 " in act(admin_client, Checkout, action, checkout.pk, **why)
    assert Checkout.objects.get().dead_lettered_at is None
    assert not why or "its cart is gone (eva)" in Checkout.objects.get().failure_detail
    assert Cart.objects.get().status == cart
