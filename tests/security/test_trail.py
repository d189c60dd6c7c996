"""The trail: one row per action, with its actor, reason, way and token."""

from decimal import Decimal
from typing import Any

import jwt
import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client

import config.urls  # noqa: F401 -- of all services, before one of them is named
from carrito.models import Cart, Checkout
from catalogue.services import WITH_DATABASE, WITH_WORKER
from inventario import catalogue
from inventario.catalogue import NewProduct
from inventario.models import FailedMessage, Intervention, OutboxEntry, Product
from messaging import failed, outbox
from messaging.brokers import Message
from messaging.models import FailedStatus
from pagos.models import Payment, PaymentStatus
from participant import trail
from tests.admin_pages import act, url_of
from tests.security.conftest import Issuer, bearer

pytestmark = [
    pytest.mark.django_db(databases=[*WITH_DATABASE, "default"]),
    pytest.mark.undocumented("messages"),
]
TRACE = "0af7651916cd43dd8448eb211c80319c"
OPERATOR, MERCHANT = "ops:read ops:act", "catalogue:write payments:read payments:write"


@pytest.fixture
def product() -> Product:
    new = NewProduct(name="A lamp", price=Decimal("10.00"), sku="lamp", quantity=5)
    (made,) = catalogue.add(products=[new])
    assert isinstance(made, Product)
    return made


def parked(number: int = 0) -> FailedMessage:
    message = Message(f"{number}", "checkout.inventory.reserved", b"{ not json")
    failed.dead_letter(service="inventario", message=message, reason="odd")
    return FailedMessage.objects.latest("id")


def unsent() -> OutboxEntry:
    made = OutboxEntry.objects.create(event_id="e", event_type="t", saga_id="s", body="{}")
    outbox.postpone(service="inventario", ids=[made.pk], reason="too large")
    return made


def payment(merchant: str = "acme") -> Payment:
    return Payment.objects.create(
        id="p1",
        amount=Decimal("5.00"),
        payment_method="credit_card",
        merchant_id=merchant,
        status=PaymentStatus.CAPTURED,
    )


def ask(token: str, method: str, path: str, body: Any = None) -> int:
    """The answer's status."""
    headers = {**bearer(token), "traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
    more = {"data": body, "content_type": "application/json"} if body is not None else {}
    return int(getattr(Client(), method)(path, headers=headers, **more).status_code)


def rows(service: str) -> list[tuple[str, str, str, str, str]]:
    recorded = apps.get_model(service, "Intervention").objects.all()
    return [(row.requested_by, row.via, row.action, row.subject, row.detail) for row in recorded]


def reasons(service: str) -> list[str]:
    return [row.reason for row in apps.get_model(service, "Intervention").objects.all()]


def test_change_of_a_price_and_a_restock_are_written_down(
    required: Issuer, product: Product
) -> None:
    token, path = required.user("acme", scope=MERCHANT), f"/api/products/{product.pk}"
    assert ask(token, "patch", path, {"price": "0.01", "reason": "a sale"}) == 200
    assert ask(token, "patch", path, {"price": "0.01"}) == 200, "which changes nothing"
    assert ask(token, "post", f"{path}/restock", {"quantity": -2, "reason": "broken"}) == 200
    assert ask(token, "post", f"{path}/restock", {"quantity": -9}) == 409
    assert ask(required.user("ana"), "patch", path, {"price": "1.00"}) == 403
    actor = "acme", "api"
    assert rows("inventario") == [
        (*actor, "product.change", f"product {product.pk}", "price: 10.00 -> 0.01"),
        (*actor, "product.restock", f"product {product.pk}", "available: 5 -> 3"),
    ]
    assert [row.reason for row in Intervention.objects.all()] == ["a sale", "broken"]


def test_token_and_trace_are_named(required: Issuer, product: Product) -> None:
    token = required.user("acme", scope=MERCHANT)
    ask(token, "post", f"/api/products/{product.pk}/restock", {"quantity": 1})
    (row,) = Intervention.objects.all()
    assert row.jti == jwt.decode(token, options={"verify_signature": False})["jti"]
    assert row.trace_id == TRACE


def test_parked_and_unsent_messages_are_dealt_with_on_record(required: Issuer) -> None:
    token, below = required.user("olga", scope=OPERATOR), "/inventario/messages"
    first, second, third = parked(1), parked(2), unsent()
    why = {"reason": "mended"}
    assert ask(token, "post", f"{below}/parked/{first.pk}/retry", why) == 200
    assert ask(token, "post", f"{below}/parked/{second.pk}/discard", why) == 200
    assert ask(token, "post", f"{below}/parked/{second.pk}/discard", why) == 409
    assert ask(token, "post", f"{below}/unsent/{third.pk}/discard", why) == 200
    assert [row[2:4] for row in rows("inventario")] == [
        ("message.retry", f"message {first.pk}"),
        ("message.discard", f"message {second.pk}"),
        ("unsent.discard", f"unsent {third.pk}"),
    ]
    assert {(row.requested_by, row.reason) for row in Intervention.objects.all()} == {
        ("olga", "mended")
    }


def test_action_under_another_name_is_refused(required: Issuer) -> None:
    token, message = required.user("olga", scope=OPERATOR), parked()
    body = {"requested_by": "admin", "reason": "x"}
    assert ask(token, "post", f"/inventario/messages/parked/{message.pk}/retry", body) == 403
    assert rows("inventario") == []


def test_pause_and_resume_are_written_down(required: Issuer) -> None:
    token = required.user("olga", scope=OPERATOR)
    body = {"saga": "checkout", "reason": "stocktaking"}
    assert ask(token, "post", "/carrito/pauses", body) == 201
    assert ask(token, "post", "/carrito/pauses", body) == 409
    assert ask(token, "delete", "/carrito/pauses?saga=checkout&reason=done") == 200
    assert [row[:4] for row in rows("carrito")] == [
        ("olga", "api", "pause", "saga checkout"),
        ("olga", "api", "resume", "saga checkout"),
    ]
    assert reasons("carrito") == ["stocktaking", "done"]


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_action_on_a_dead_letter_is_written_down(required: Issuer, action: str) -> None:
    context = {"saga": "checkout", "saga_id": "s", "pattern": "orchestrated", "subject": "c"}
    Checkout.objects.create(
        saga_id="s",
        saga="checkout",
        saga_pattern="orchestrated",
        cart=Cart.objects.create(id="c", user_id="ana", status="checking_out"),
        cart_version=1,
        items=[],
        total_amount=Decimal(1),
        user_id="ana",
        context=context,
        dead_lettered_at="2026-01-01T00:00Z",
        dead_letter_reason="odd",
    )
    token = required.user("olga", scope=OPERATOR)
    path = f"/checkouts/s/{action}"
    assert ask(token, "post", path, {"reason": "mended"}) in (200, 202)
    assert [row[:4] for row in rows("carrito")] == [("olga", "api", f"handover.{action}", "saga s")]
    assert reasons("carrito") == ["mended"]


def test_plain_refund_and_credits_are_written_down(required: Issuer) -> None:
    merchant = required.user("acme", scope=MERCHANT, merchant="acme")
    path = f"/api/v1/payments/{payment().pk}/refund"
    assert ask(merchant, "post", path, {"reason": "broken"}) == 200
    assert ask(merchant, "post", path, {"reason": "broken"}) == 200, "the same refund"
    operator = required.user("olga", scope=OPERATOR)
    assert ask(operator, "post", "/credits", {"user_id": "ana", "amount": "5.00"}) == 201
    assert rows("pagos") == [
        ("acme", "api", "payment.refund", "payment p1", "5.00"),
        ("olga", "api", "credits.grant", "credits of ana", "+5.00"),
    ]


def test_action_that_is_rolled_back_leaves_no_row(product: Product) -> None:
    """The control: the row is written in the action's transaction, and in no other."""
    with transaction.atomic(using="inventario"):
        catalogue.restock(product=product, quantity=3)
        assert len(rows("inventario")) == 1
        transaction.set_rollback(True, using="inventario")
    assert rows("inventario") == []


def test_admin_records_the_actor_and_the_reason(admin_client: Client) -> None:
    message = parked()
    act(admin_client, FailedMessage, "discard", str(message.pk), reason="not ours")
    message.refresh_from_db()
    assert message.status == FailedStatus.DISCARDED
    (row,) = Intervention.objects.all()
    assert (row.requested_by, row.via, row.reason) == ("eva", "admin", "not ours")


def test_admin_changes_a_price_on_record(admin_client: Client, product: Product) -> None:
    fields = {"name": product.name, "price": "0.01", "sku": "lamp", "restock": "2"}
    fields |= {"reason": "a sale"}
    given = admin_client.post(url_of(Product, "change", product.pk), fields)
    assert given.status_code == 302
    assert [row[:3] for row in rows("inventario")] == [
        ("eva", "admin", "product.change"),
        ("eva", "admin", "product.restock"),
    ]
    assert rows("inventario")[0][4] == "price: 10.00 -> 0.01"
    assert reasons("inventario") == ["a sale", "a sale"]


def test_next_request_is_recorded_under_its_own_actor(
    required: Issuer, product: Product, settings: Any
) -> None:
    token = required.user("acme", scope=MERCHANT)
    ask(token, "post", f"/api/products/{product.pk}/restock", {"quantity": 1})
    assert trail.told() == {"via": "service", "jti": "", "trace_id": ""}
    settings.AUTH = "demo"
    Client().post(
        f"/api/products/{product.pk}/restock", {"quantity": 1}, content_type="application/json"
    )
    assert [row[0] for row in rows("inventario")] == ["acme", "api"]


def test_each_service_shows_its_trail_and_changes_none_of_it() -> None:
    eva = get_user_model().objects.create(username="root", is_staff=True, is_superuser=True)
    for service in WITH_WORKER:
        model = apps.get_model(service, "Intervention")
        assert model.granted == "SELECT, INSERT"
        shown = admin.site._registry[model]
        asked: Any = type("Asked", (), {"user": eva})()
        assert not shown.has_change_permission(asked)
        assert not shown.has_delete_permission(asked)
        assert not shown.has_add_permission(asked)


@pytest.mark.parametrize("action", ["compensate", "retry"])
def test_action_on_another_persons_saga_needs_a_reason(required: Issuer, action: str) -> None:
    token = required.user("olga", scope=OPERATOR)
    assert ask(token, "post", f"/saga/unknown/{action}", {}) == 400
    assert ask(token, "post", f"/saga/unknown/{action}", {"reason": "lost"}) != 400
