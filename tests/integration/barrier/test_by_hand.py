"""What belongs to a saga is done and undone by the saga only, not by hand. Under another id every
step can be called.
"""

import json

import pytest

from carrito.models import Cart, Checkout, Order
from catalogue.services import WITH_DATABASE
from contracts.saga import Undo
from inventario.models import Product, Reservation
from messaging.brokers.memory import forget
from pagos import operations
from pagos.models import Payment
from participant import sql
from participant.executing import execute
from tests.seeded.shop import Shop

pytestmark = pytest.mark.django_db(databases=[*WITH_DATABASE])
TABLES = [
    *("carrito_cart", "carrito_checkout", "carrito_order", "carrito_barrierentry"),
    *("inventario_product", "inventario_reservation", "inventario_barrierentry"),
    *("pagos_payment", "pagos_refund", "pagos_barrierentry"),
]
BY_SAGA = [
    *("/orders", "/orders/cancel", "/orders/confirm", "/carts/unlock"),
    *("/api/products/unreserve", "/api/products/commit", "/api/products/restore"),
    "/api/v1/payments/saga/refund",
]
BY_ID = [
    *("/orders/{order}/cancel", "/orders/{order}/confirm"),
    *("/api/v1/payments/{payment}/refund", "/api/v1/payments/saga/{payment}/refund"),
]


@pytest.fixture
def shop(monkeypatch, settings):
    settings.REDRIVE_SECONDS = 0
    yield Shop(monkeypatch)
    forget("seeded")


@pytest.fixture(params=["orchestrated", "choreographed"])
def sold(shop, request):
    """The id of a saga that has sold a cart."""
    saga_id = shop.check_out(request.param)
    shop.settle()
    assert Checkout.objects.get(pk=saga_id).status == "completed"
    return saga_id


@pytest.fixture
def post(client):
    def call(path, body=None):
        response = client.post(path, json.dumps(body or {}), content_type="application/json")
        return response.status_code, response.json()

    return call


def rows():
    """All rows of the participants."""
    return {
        table: sorted(
            sql.execute(
                service=table.partition("_")[0], sql=f"SELECT t::text FROM {table} AS t", values=[]
            )
        )
        for table in TABLES
    }


def is_refused(answer, saga_id):
    status, problem = answer
    assert (status, problem["code"]) == (409, "part_of_a_saga")
    assert f"{saga_id}/compensate" in problem["detail"], "what to do instead"


@pytest.mark.parametrize("path", BY_SAGA)
def test_step_of_a_saga_is_not_taken_by_hand(post, sold, path):
    before = rows()
    is_refused(post(path, {"saga_id": sold}), sold)
    # The fields of a command by hand do not make it a saga's.
    whose = {"saga": "checkout", "step": "process_payment"}
    is_refused(post(path, {"saga_id": sold, **whose}), sold)
    assert rows() == before


@pytest.mark.parametrize("path", BY_ID)
def test_row_of_a_saga_is_not_changed_by_hand_under_its_own_id(post, sold, path):
    order, payment = Order.objects.get(checkout=sold).pk, Payment.objects.get(saga_id=sold).pk
    before = rows()
    is_refused(post(path.format(order=order, payment=payment)), sold)
    assert rows() == before


def test_charge_and_reservation_of_a_saga_are_not_made_again_by_hand(post, sold):
    before = rows()
    items = [{"product_id": str(Product.objects.get().pk), "quantity": 1}]
    fields = {"saga_id": sold, "cart_id": "c"}
    is_refused(post("/api/products/reserve", {**fields, "items": items}), sold)
    money = {"amount": "1.00", "payment_method": "credit_card"}
    is_refused(post("/api/v1/payments/saga", {**fields, **money}), sold)
    assert rows() == before


def test_what_was_done_by_hand_before_a_saga_of_that_id_came_is_undone_by_hand(post):
    money = {"cart_id": "c", "amount": "1.00", "payment_method": "credit_card"}
    assert post("/api/v1/payments/saga", {"saga_id": "mine", **money})[0] == 200
    late = Undo(saga_id="mine", saga="checkout", step="process_payment", reason="stopped")
    execute(operation=operations.refund, commands=[late])
    again = {"saga_id": "mine", **money}
    is_refused(post("/api/v1/payments/saga", again), "mine")
    assert post("/api/v1/payments/saga/refund", {"saga_id": "mine"})[0] == 200
    assert Payment.objects.get().status == "refunded"


def test_in_a_list_only_the_command_of_the_saga_is_refused(post, sold):
    money = {"cart_id": "c", "amount": "1.00", "payment_method": "credit_card"}
    _, outcomes = post(
        "/api/v1/payments/saga", [{"saga_id": saga_id, **money} for saga_id in ("mine", sold)]
    )
    assert [outcome["outcome"] for outcome in outcomes] == ["done", "refused"]
    assert outcomes[1]["code"] == "part_of_a_saga"
    assert Payment.objects.filter(saga_id="mine").count() == 1
    assert Payment.objects.filter(saga_id=sold).count() == 1


def test_saga_itself_can_still_undo_its_steps(post, shop, sold):
    pattern = Checkout.objects.get(pk=sold).saga_pattern
    for path in BY_SAGA:
        post(path, {"saga_id": sold})
    shop.undo(sold, pattern)
    shop.settle()
    assert Checkout.objects.get(pk=sold).status == "compensated"
    assert shop.audit() == []


def test_each_step_can_be_called_under_an_id_of_its_own(post, shop):
    product, whose = shop.stock(units=5), {"saga_id": "mine"}
    items = [{"product_id": str(product.pk), "quantity": 2}]
    money = {"amount": "1.00", "payment_method": "credit_card"}
    assert post("/api/products/reserve", {**whose, "cart_id": "c", "items": items})[0] == 200
    assert post("/api/v1/payments/saga", {**whose, "cart_id": "c", **money})[0] == 200
    assert post("/api/products/commit", whose)[0] == 200
    assert Reservation.objects.get().status == "committed"
    assert post("/api/products/restore", whose)[0] == 200
    assert post("/api/v1/payments/saga/refund", whose)[0] == 200
    product.refresh_from_db()
    assert (product.available, Payment.objects.get().status) == (5, "refunded")
    assert post("/orders", whose)[1]["code"] == "no_checkout"
    cart = Cart.objects.create(id="c", user_id="ana")
    assert post("/carts/unlock", whose)[0] == 200
    assert Cart.objects.get(pk=cart.pk).status == "active"
