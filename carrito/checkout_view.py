"""The HTTP door of the universal checkout."""

import uuid

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from carrito import checkout, operations, queries, records, serializers
from carrito.checkout import COORDINATORS, AcceptedCheckout, NotAccepted
from carrito.operations import Accept
from contracts import refusals
from contracts.bounds import Address, Id, SagaPattern, WholeNumber
from contracts.statuses import Pattern
from httpapi import problems, waiting
from httpapi.idempotency import fingerprint, key_of
from httpapi.json import answer
from httpapi.waiting import Waiters

STATUS_OF_REFUSAL = {refusals.UNKNOWN_CART: 404, refusals.EMPTY_CART: 400, refusals.KEY_REUSED: 422}
"""As API.md has it; any other refusal is a 409."""

_waiters = Waiters(service=operations.SERVICE, ended=records.ended_among)


class CheckoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a shopper sends, at whichever door."""

    cart_id: Id
    payment_method: Id
    user_id: Id | WholeNumber | None = None
    billing_address: Address = {}
    saga_pattern: SagaPattern = Pattern.ORCHESTRATED.value


class CheckoutView(APIView):
    """POST: 202 once the checkout is accepted and durable; `Prefer: wait=N` answers its end."""

    def post(self, request: Request) -> HttpResponse:
        wanted = msgspec.convert(request.data, CheckoutRequest)
        _raise_if_unknown(wanted.saga_pattern)
        found = _accepted(request, wanted)
        url = request.build_absolute_uri(f"/orders/saga/{found.saga_id}/status")
        headers = {"Location": url} | ({} if found.is_new else {"Idempotency-Replayed": "true"})
        seconds = waiting.seconds_of(prefer=request.headers.get("Prefer", ""))
        if seconds and _waiters.wait(key=found.saga_id, seconds=seconds):
            return answer(_ended(found.saga_id, url), headers=headers)
        return answer(serializers.accepted(found, status_url=url), status=202, headers=headers)


def command_of(*, request: Request, wanted: CheckoutRequest) -> Accept:
    """What carrito is asked for."""
    key = key_of(request)
    return Accept(
        saga_id=str(uuid.uuid4()),
        cart_id=wanted.cart_id,
        payment_method=wanted.payment_method,
        saga_pattern=wanted.saga_pattern,
        user_id=None if wanted.user_id is None else str(wanted.user_id),
        billing_address=wanted.billing_address,
        traceparent=checkout.traceparent_of(header=request.headers.get("traceparent", "")),
        idempotency_key=key or "",
        fingerprint=_fingerprint(wanted) if key else "",
    )


def _fingerprint(wanted: CheckoutRequest) -> str:
    """Of what is asked for, at whichever door and in whatever words: defaults are spelled out."""
    return fingerprint(
        {
            "cart_id": wanted.cart_id,
            "payment_method": wanted.payment_method,
            "saga_pattern": wanted.saga_pattern,
            "billing_address": wanted.billing_address,
        }
    )


def not_accepted(*, error: NotAccepted) -> problems.Problem:
    """The answer to a checkout that was refused."""
    status = STATUS_OF_REFUSAL.get(error.refused.code, 409)
    return problems.refusal(error.refused, status=status)


def _accepted(request: Request, wanted: CheckoutRequest) -> AcceptedCheckout:
    try:
        return checkout.check_out(command=command_of(request=request, wanted=wanted))
    except NotAccepted as error:
        raise not_accepted(error=error) from error


def _ended(saga_id: str, url: str) -> dict[str, object]:
    found = queries.checkout(saga_id=saga_id)
    if found is None:
        raise problems.unknown("saga", saga_id)
    return {**serializers.checkout_status(found), "status_url": url}


def _raise_if_unknown(pattern: str) -> None:
    if pattern not in COORDINATORS:
        known = ", ".join(COORDINATORS)
        raise problems.wrong_field("saga_pattern", f"one of {known}; not {pattern!r}")
