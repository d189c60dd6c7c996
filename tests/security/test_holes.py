"""Each vulnerability that was found once, and its fix; without the fix the damage shows again.

Those that need a whole saga of every kind are in tests/integration/audit/test_wrong_amounts.py.
"""

import json
from decimal import Decimal
from typing import get_args

import msgspec
import pytest
from django.db import OperationalError, connections

from carrito import operations as carrito
from carrito.models import Checkout, Order
from catalogue import refusals
from catalogue.commands import Item, Reserve
from catalogue.services import WITH_DATABASE
from contracts import bounds, declared_doors, projection
from contracts import refusals as refusals_of_all
from contracts.outcomes import Done
from contracts.patterns import CHOREOGRAPHED, ORCHESTRATED, PATTERNS
from httpapi import health
from inventario import operations as inventario
from messaging.brokers.memory import forget
from pagos.models import Payment
from participant.executing import execute
from tests import documented
from tests.security.conftest import bearer
from tests.seeded.shop import Shop

pytestmark = pytest.mark.django_db(databases=["default", *WITH_DATABASE])


KEPT = "0.01 was kept of 10.00"


@pytest.fixture
def shop(monkeypatch, settings):
    settings.REDRIVE_SECONDS = 0
    yield Shop(monkeypatch)
    forget("seeded")


@pytest.fixture(params=PATTERNS)
def pattern(request):
    return request.param


@pytest.fixture
def post(client):
    def call(path, body, **headers):
        send = {"content_type": "application/json", "headers": headers}
        return client.post(path, json.dumps(body), **send)

    return call


@pytest.fixture
def underpaid(shop, pattern, post):
    """The id of an accepted checkout of 10.00, for which another caller has already made a charge
    of 0.01.
    """
    saga_id = shop.check_out(pattern)
    whose = {"saga_id": saga_id, "saga": "checkout", "step": "process_payment"}
    money = {"subject": "c", "amount": "0.01", "payment_method": "credit_card"}
    assert post("/steps/pagos.charge", {**whose, **money}).status_code == 200
    shop.settle()
    shop.look()  # a choreographed saga is stuck until the watchdog looks
    return saga_id


def test_a_charge_of_another_amount_makes_no_order(shop, underpaid):
    ended = Checkout.objects.get(pk=underpaid)
    assert (ended.status, ended.failure_code) == ("compensated", refusals.WRONG_AMOUNT)
    assert not Order.objects.exists()
    payment = Payment.objects.get()
    assert (payment.amount, payment.status) == (Decimal("0.01"), "refunded")
    assert not any(KEPT in breach for breach in shop.audit())


class TestWithoutTheComparison:
    """The control."""

    @pytest.fixture(autouse=True)
    def _trusting(self, monkeypatch):
        def order(*, order_id, due, paid):
            return Done({"order_id": order_id})

        add_orders, decide_commit = carrito.store.add_orders, inventario.decide_commit

        def whatever_was_paid(*, ids, paid):
            totals = Checkout.objects.in_bulk(list(ids))
            due = {saga_id: checkout.total_amount for saga_id, checkout in totals.items()}
            return add_orders(ids=ids, paid=due)

        def sold(*, command, held):
            command = type(command)(saga_id=command.saga_id)
            return decide_commit(command=command, held=held)

        monkeypatch.setattr(carrito, "decide_order", order)
        monkeypatch.setattr(carrito.store, "add_orders", whatever_was_paid)
        monkeypatch.setattr(inventario, "decide_commit", sold)

    def test_a_charge_of_another_amount_makes_an_order(self, shop, underpaid):
        assert Checkout.objects.get(pk=underpaid).status == "completed"
        assert any(KEPT in breach for breach in shop.audit())


FROZEN = {
    "items": [{"product_id": "1", "quantity": 1}],
    "total_amount": "10.00",
    "payment_method": "credit_card",
}


@pytest.fixture(params=[ORCHESTRATED, CHOREOGRAPHED])
def hand_over(request, post):
    """Hands a saga with this data over to the coordinator; returns its outcome."""

    def call(**data):
        alike = {"saga": "checkout", "saga_id": "s", "pattern": request.param, "subject": "c"}
        answered = post(PATTERNS[request.param].hand_over, [{**alike, "data": {**FROZEN, **data}}])
        assert answered.status_code == 207, answered.content
        return answered.json()[0]

    return call


@pytest.mark.parametrize("total", ["NaN", "sNaN", "-Infinity", "1e400", "-1", "0.001", 1e300])
def test_nan_is_refused_and_the_audit_runs(shop, hand_over, total):
    assert hand_over(total_amount=total)["code"] == refusals.MALFORMED_SAGA
    assert shop.audit() == []


def test_valid_amount_is_accepted(hand_over):
    """The control: the request is refused only for its amount."""
    assert hand_over()["outcome"] == "done"


def test_without_the_check_of_amounts_nan_is_accepted(hand_over, monkeypatch):
    """The control: this check closes the hole."""
    projection.data_type.cache_clear()
    monkeypatch.setattr(projection, "_check_money", lambda data: None)
    try:
        assert hand_over(total_amount="NaN")["outcome"] == "done"
    finally:
        projection.data_type.cache_clear()


def fields_in(kind):
    """All fields of a body's type, also of the structs within it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield field
            yield from fields_in(field.type)
    for inner in kind if isinstance(kind, tuple) else get_args(kind):
        yield from fields_in(inner)


IDS = ("_id", "saga", "payment_method", "refund_to")
"""Not a sku, which a shop writes as it likes."""


def test_every_id_that_people_send_has_the_characters_of_an_id():
    known = [
        door for name in WITH_DATABASE for door in declared_doors.all_in(documented.urls_of(name))
    ]
    writing = [door for door in known if door.method != "GET"]
    of_people = [door.declared.takes for door in writing if door.declared.scopes]
    ids = [field for kind in of_people for field in fields_in(kind) if field.name.endswith(IDS)]
    assert {"cart_id", "product_id", "user_id", "saga"} <= {field.name for field in ids}
    for field in ids:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert("a\nb", field.type)


@pytest.mark.parametrize("cart_id", ["a b", "a\n", "a'", "\u202ea"])
def test_id_of_other_characters_is_refused_with_the_allowed_ones(post, cart_id):
    answered = post("/checkout/saga", {"cart_id": cart_id, "payment_method": "paypal"})
    assert answered.status_code == 400
    (error,) = answered.json()["errors"]
    assert (error["field"], bounds.IDS_CHARACTERS in error["message"]) == ("cart_id", True)


def test_address_of_odd_fields_is_refused(post):
    wanted = {"cart_id": "1", "payment_method": "paypal"}
    for address in ({"a<b": "x"}, {"x" * 33: "x"}, {f"x{n}": "" for n in range(13)}):
        answered = post("/checkout/saga", wanted | {"billing_address": address})
        assert (answered.status_code, answered.json()["errors"][0]["field"]) == (
            400,
            "billing_address",
        )


def test_person_can_not_reserve_the_whole_stock(shop, pattern, settings):
    settings.MOST_RESERVED = 3
    hot = shop.stock(units=9)
    held = Reserve(saga_id="s", subject="c", user_id="ana", items=[Item(str(hot.pk), 2)])
    execute(operation=inventario.reserve, commands=[held])
    refused = shop.check_out(pattern, cart=shop.cart(hot, quantity=2))
    let_in = shop.check_out(pattern, cart=shop.cart(hot, quantity=1))
    shop.settle()
    ended = Checkout.objects.get(pk=refused)
    assert (ended.status, ended.failure_code) == ("failed", refusals.TOO_MANY_RESERVED)
    assert ended.failure_step == "reserve_inventory"
    assert ended.cart.status == "active"
    assert Payment.objects.get().saga_id == let_in
    assert Checkout.objects.get(pk=let_in).status == "completed"


def test_error_sends_little_back(client):
    for path in ("/nothing/" + "x" * 1500, "/orders/" + "x" * 1500):
        detail = client.get(path).json()["detail"]
        assert "x" * 100 in detail
        assert len(detail) < 300


def test_health_shows_no_message_of_the_database(caplog, monkeypatch):
    class Refused(OperationalError):
        sqlstate = "28P01"

    def cursor():
        raise Refused('connection to server on socket "/tmp/s" failed: user "dueto"')

    monkeypatch.setattr(connections[health.alias()], "cursor", cursor)
    fields = json.dumps(msgspec.to_builtins(health.database().fields))
    assert "28P01" in fields
    assert "socket" not in fields
    assert "dueto" not in fields
    assert "socket" in caplog.text


@pytest.mark.parametrize(
    ("name", "pattern"), [("saga_orchestrator", ORCHESTRATED), ("saga_choreography", CHOREOGRAPHED)]
)
def test_owner_hands_over_its_own_sagas_alone(required, settings, post, name, pattern):
    settings.SERVICE = name
    saga = {"saga": "checkout", "saga_id": "s", "pattern": pattern, "subject": "c", "data": FROZEN}

    def outcome(owner):
        token = bearer(required.service(owner, to=name))
        answered = post(PATTERNS[pattern].hand_over, [saga], **token)
        assert answered.status_code == 207, answered.content
        return answered.json()[0]

    stranger = outcome("reservas")
    assert (stranger["outcome"], stranger["code"]) == ("refused", refusals_of_all.NOT_ITS_TO_SAY)
    assert outcome("carrito")["outcome"] == "done"
