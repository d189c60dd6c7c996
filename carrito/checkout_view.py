"""The universal checkout: one way in, whichever pattern then coordinates it.

shopper -> POST /checkout/saga -> accept: lock the cart, freeze it, record the checkout
           (operations)        -> choreographed: its first event is in carrito's own outbox
                               -> orchestrated:  handed over at once (coordination.handover)
"""

from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from carrito import queries, serializers
from carrito.operations import OWNER, Accept
from contracts.bounds import Address, Id, SagaPattern, WholeNumber
from coordination import owner_views
from httpapi import problems

_acceptance = owner_views.Acceptance(owner=OWNER)


class CheckoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a shopper sends, at whichever door."""

    cart_id: Id
    payment_method: Id
    user_id: Id | WholeNumber | None = None
    billing_address: Address = {}
    saga_pattern: SagaPattern | None = None
    saga: Id = "checkout"


class CheckoutView(APIView):
    """POST: 202 once the checkout is accepted and durable; `Prefer: wait=N` answers its end."""

    def post(self, request: Request) -> HttpResponse:
        wanted = msgspec.convert(request.data, CheckoutRequest)
        return owner_views.accept(
            acceptance=_acceptance,
            command=command_of(request=request, wanted=wanted),
            request=request,
            status_path="/orders/saga/{saga_id}/status",
            state=_state,
        )


def command_of(*, request: Request, wanted: CheckoutRequest) -> Accept:
    """What carrito is asked for. Raises Problem (400)."""
    asked = {
        "cart_id": wanted.cart_id,
        "payment_method": wanted.payment_method,
        "billing_address": wanted.billing_address,
    }
    alike = owner_views.accepting(
        owner=OWNER,
        saga=wanted.saga,
        pattern=wanted.saga_pattern or "",
        request=request,
        asked=asked,
    )
    user_id = None if wanted.user_id is None else str(wanted.user_id)
    return Accept(**alike, **asked, user_id=user_id)


def _state(saga_id: str) -> dict[str, Any]:
    found = queries.checkout(saga_id=saga_id)
    if found is None:
        raise problems.unknown("saga", saga_id)
    return serializers.checkout_status(found)
