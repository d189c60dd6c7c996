"""What costs nothing is completed without a charge, in every pattern, and can be given back."""

import pytest

from carrito.models import Checkout
from catalogue.services import WITH_DATABASE
from contracts.patterns import PATTERNS
from messaging.brokers.memory import forget
from pagos import operations
from pagos.models import Payment, Refund
from tests.seeded.shop import Shop

pytestmark = pytest.mark.django_db(databases=[*WITH_DATABASE])


@pytest.fixture
def shop(monkeypatch, settings):
    settings.RESERVATION_SECONDS = 3600
    settings.REDRIVE_SECONDS = 0
    yield Shop(monkeypatch)
    forget("seeded")


def free_checkout(shop, pattern, **options):
    saga_id = shop.check_out(pattern, cart=shop.cart(shop.stock(price="0.00")), **options)
    shop.settle()
    return saga_id


@pytest.mark.parametrize("pattern", PATTERNS)
def test_free_product_is_bought_and_no_money_moves(shop, pattern):
    saga_id = free_checkout(shop, pattern)
    assert Checkout.objects.get(pk=saga_id).status == "completed"
    payment = Payment.objects.get(saga_id=saga_id)
    assert (payment.amount, payment.status) == (0, "captured")
    assert shop.audit() == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_free_product_that_is_returned_gives_nothing_back(shop, pattern):
    saga_id = free_checkout(shop, pattern)
    shop.undo(saga_id, pattern)
    shop.settle()
    assert Checkout.objects.get(pk=saga_id).status == "compensated"
    assert Refund.objects.get(saga_id=saga_id).amount == 0
    assert shop.audit() == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_card_is_not_asked_for_nothing(shop, pattern):
    saga_id = free_checkout(shop, pattern, payment_method="card_declined")
    assert Checkout.objects.get(pk=saga_id).status == "completed"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_network_that_takes_no_zero_leaves_free_checkouts_unsold(shop, pattern, monkeypatch):
    """The control: without the rule for nothing, what was accepted can never succeed."""
    monkeypatch.setattr(operations, "is_free", lambda *, amount: False)
    saga_id = free_checkout(shop, pattern)
    assert Checkout.objects.get(pk=saga_id).failure_code == "invalid_amount"
