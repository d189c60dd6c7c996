"""The HTTP door of tarjetas. No decisions here."""

from typing import TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from catalogue import services
from contracts import bounds
from contracts.bounds import MOST_BYTES, MOST_IN_A_BATCH
from contracts.doors import OPS_READ, door
from httpapi import pages, problems
from httpapi.json import answer, decode
from httpapi.steps import PlainView
from tarjetas import operations, serializers, store
from tarjetas.operations import ERROR, REUSED, ChargeRequest, ChargeState, RefundState
from tarjetas.serializers import ChargeFilter, NewCharge, NewRefund

T = TypeVar("T", bound=msgspec.Struct)
_CALLERS = services.callers_of(operations.SERVICE)


class ChargesView(PlainView):
    """POST a charge: 200 with its state, also if it is refused; 409 `key_reused`. POST a list: 207
    with an answer for each, in order. GET lists, newest first, in pages.
    """

    @door(OPS_READ, takes=ChargeFilter, gives={200: pages.Page[serializers.ChargeShown]})
    def get(self, request: HttpRequest) -> HttpResponse:
        asked = bounds.of_query(request.GET, ChargeFilter)
        found = store.charges(saga_id=asked.saga_id or "")
        page = pages.page(request=Request(request), found=found, wanted=asked)
        return answer(page.answer(results=[serializers.charge(row) for row in page.rows]))

    @door(
        callers=_CALLERS,
        takes=(NewCharge, list[NewCharge]),
        most_bytes=MOST_BYTES,
        gives={200: ChargeState, 207: list[ChargeState]},
        refuses={409: (operations.KEY_REUSED,)},
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        given, is_list = _read(request, NewCharge)
        asked = [ChargeRequest(**msgspec.structs.asdict(charge)) for charge in given]
        found = operations.charge(asked=asked)
        if is_list:
            return answer(found, status=207)
        if found[0].status == ERROR:
            raise problems.refusal(REUSED)
        return answer(found[0])


class ChargeView(PlainView):
    """GET: the charge to which a key belongs."""

    @door(OPS_READ, callers=_CALLERS, gives={200: serializers.ChargeShown})
    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        found = store.charge(key=key)
        if found is None:
            raise problems.unknown("charge", key)
        return answer(serializers.charge(found))


class RefundsView(PlainView):
    """POST a key, or a list of keys: 200 (207) with the amounts given back."""

    @door(
        callers=_CALLERS,
        takes=(NewRefund, list[NewRefund]),
        most_bytes=MOST_BYTES,
        gives={200: RefundState, 207: list[RefundState]},
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        given, is_list = _read(request, NewRefund)
        found = operations.refund(keys=[refund.key for refund in given])
        return answer(found, status=207) if is_list else answer(found[0])


def _read(request: HttpRequest, kind: type[T]) -> tuple[list[T], bool]:
    """The body's items, and whether it is a list. Raises msgspec.ValidationError, or Problem if the
    list is too long.
    """
    if not request.body.lstrip().startswith(b"["):
        return [decode(request.body or b"{}", type=kind)], False
    given = decode(request.body, type=list[kind])  # type: ignore[valid-type]
    if len(given) > MOST_IN_A_BATCH:
        raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} in one list")
    return given, True
