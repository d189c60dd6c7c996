"""The HTTP door of pedidos. No decisions here.

user -> POST /orders -> find the products (inventario), then accept: record the order
                     -> choreographed: its first event is in the outbox of pedidos
                     -> orchestrated:  handed over at once (coordination.handover)
customer -> POST /orders/create_order: the same, without stock; the payment is confirmed later
"""

from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds
from contracts.doors import OPS_READ, SHOP, door
from contracts.patterns import COORDINATORS
from coordination import owner_views
from httpapi import identity, pages, problems
from httpapi.json import answer
from participant.models import owned_by
from pedidos import catalogue, serializers, store
from pedidos.operations import OWNER, Accept
from pedidos.serializers import NewOrder, NewPurchase, OrderFilter

_acceptance = owner_views.Acceptance(owner=OWNER)
STATUS_PATH = "/orders/{saga_id}"


class OrdersView(APIView):
    """GET lists, newest first, in pages. POST: 202 once the order is accepted and durable;
    `Prefer: wait=N` waits for its end.
    """

    @door(SHOP, OPS_READ, takes=OrderFilter, gives={200: serializers.OrdersPage})
    def get(self, request: Request) -> HttpResponse:
        asked = bounds.of_query(request.query_params, OrderFilter)
        found = store.orders(user_id=asked.user_id or "", status=asked.status or "")
        found = found.filter(owned_by(identity.owner(request)))
        page = pages.page(request=request, found=found, wanted=asked)
        shown = [serializers.order(row) for row in page.rows]
        return answer({**page.answer(results=shown), "orders": shown, "total": page.count})

    @owner_views.door_of(
        OWNER,
        takes=NewOrder,
        begins=serializers.OrderBegun,
        shows=serializers.OrderInFull,
        example={"user_id": "ana", "product_id": "1", "quantity": 1, "amount": "25.00"},
    )
    def post(self, request: Request) -> HttpResponse:
        wanted = problems.read(request.data, NewOrder)
        return owner_views.accept(
            acceptance=_acceptance,
            command=_command(request, wanted),
            request=request,
            status_path=STATUS_PATH,
            state=_state,
        )


class CreateOrderView(APIView):
    """POST: 201 once the purchase is accepted and durable; `Prefer: wait=N` waits for its end."""

    @owner_views.door_of(
        OWNER,
        takes=NewPurchase,
        begins=serializers.OrderBegun,
        shows=serializers.OrderInFull,
        begun=201,
        example={
            "customer_id": "ana",
            "order_items": [{"product_id": "1", "quantity": 2, "unit_price": "12.50"}],
            "total_amount": "25.00",
            "province": "Madrid",
            "city": "Alcobendas",
        },
    )
    def post(self, request: Request) -> HttpResponse:
        wanted = problems.read(request.data, NewPurchase)
        return owner_views.accept(
            acceptance=_acceptance,
            command=_purchase(request, wanted),
            request=request,
            status_path=STATUS_PATH,
            state=_state,
            begun=201,
        )


class OrderView(APIView):
    """GET: an order, its payment, its delivery, and its history."""

    @door(SHOP, OPS_READ, callers=COORDINATORS, gives={200: serializers.OrderInFull})
    def get(self, request: Request, order_id: str) -> HttpResponse:
        url = request.build_absolute_uri(STATUS_PATH.format(saga_id=order_id))
        found = _state(order_id, user_id=identity.owner(request))
        return answer({**found, "status_url": url})


def _command(request: Request, wanted: NewOrder) -> Accept:
    asked: dict[str, Any] = {
        "user_id": identity.of(request).named(wanted.user_id, field="user_id"),
        "items": wanted.lines(),
        "total_amount": bounds.amount(wanted.amount),
        "payment_method": wanted.payment_method,
        "destination": wanted.destination,
    }
    alike = owner_views.accepting(
        owner=OWNER,
        door="/orders",
        saga=wanted.saga,
        pattern=wanted.saga_pattern or "",
        request=request,
        asked=asked,
    )
    items, cost = catalogue.items(wanted=wanted.lines())
    due = None if identity.of(request).is_demo else cost
    return Accept(**alike, **{**asked, "items": items, "due": due})


def _purchase(request: Request, wanted: NewPurchase) -> Accept:
    items = wanted.items()
    asked: dict[str, Any] = {
        "user_id": identity.of(request).named(wanted.customer_id, field="customer_id"),
        "items": msgspec.to_builtins(items),
        "total_amount": bounds.amount(wanted.total_amount),
        "payment_method": wanted.payment_method,
        "destination": {"province": wanted.province, "city": wanted.city},
        "auto_confirm": wanted.auto_confirm,
    }
    alike = owner_views.accepting(
        owner=OWNER,
        door="/orders/create_order",
        saga=wanted.saga,
        pattern=wanted.saga_pattern or "",
        request=request,
        asked=asked,
    )
    return Accept(**alike, **{**asked, "items": items})


def _state(saga_id: str, *, user_id: str | None = None) -> dict[str, Any]:
    found = store.order(order_id=saga_id, user_id=user_id)
    if found is None:
        raise problems.unknown("order", saga_id)
    return serializers.order_in_full(found)
