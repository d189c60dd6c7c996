"""The HTTP door of reservas. No decisions here.

user    -> POST /bookings           -> accept: hold the slot, freeze the price
                                    -> choreographed: its first event is in the outbox of reservas
                                    -> orchestrated:  handed over at once (coordination.handover)
manager -> POST /bookings/ID/approve, /reject -> the decision of its step (coordination.decisions)
user    -> POST /bookings/ID/cancel -> its coordinator undoes it, or gives it back
"""

from typing import Any
from urllib.parse import quote

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from catalogue import SAGAS, refusals
from contracts import bounds
from contracts.doors import CATALOGUE_WRITE, OPS_ACT, OPS_READ, PUBLIC, SHOP, door
from contracts.outcomes import Refused
from contracts.patterns import COORDINATORS, PATTERNS
from coordination import decisions, owner_views, owners
from coordination.views import WHY_NOT
from httpapi import identity, pages, problems, waiting
from httpapi.client import ServiceResponse, Unreachable
from httpapi.json import answer
from httpapi.waiting import Waiters
from participant.decisions import GivenVerdict
from participant.models import owned_by
from participant.operations import NO, YES
from reservas import serializers, store
from reservas.models import Booking, Slot
from reservas.operations import OWNER, SERVICE, Accept, approve
from reservas.serializers import Approval, BookingFilter, Cancel, NewBooking, NewSlot

_acceptance = owner_views.Acceptance(owner=OWNER)
_asking = Waiters(service=SERVICE, ended=store.asked_or_over)
ASKED_SECONDS = 5.0
"""How long a verdict waits for a booking that was just accepted to ask its manager."""
STATUS_PATH = "/bookings/{saga_id}"


class _Refusal(msgspec.Struct, frozen=True):
    """The fields of a coordinator's problem that are passed on."""

    code: str
    detail: str = ""


class SlotsView(APIView):
    """GET lists, in pages. POST adds a slot."""

    @door(PUBLIC, takes=pages.PageRequest, gives={200: pages.Page[serializers.SlotShown]})
    def get(self, request: Request) -> HttpResponse:
        wanted = bounds.of_query(request.query_params, pages.PageRequest)
        page = pages.page(request=request, found=store.slots(), wanted=wanted)
        return answer(page.answer(results=[serializers.slot(row) for row in page.rows]))

    @door(CATALOGUE_WRITE, takes=NewSlot, gives={201: serializers.SlotShown})
    def post(self, request: Request) -> HttpResponse:
        asked = problems.read(request.data, NewSlot)
        added = Slot.objects.create(**msgspec.structs.asdict(asked))
        return answer(serializers.slot(store.slots().get(pk=added.pk)), status=201)


class BookingsView(APIView):
    """GET lists, newest first, in pages. POST: 202 once the slot is held and the booking durable;
    `Prefer: wait=N` waits for its end.
    """

    @door(SHOP, OPS_READ, takes=BookingFilter, gives={200: pages.Page[serializers.BookingState]})
    def get(self, request: Request) -> HttpResponse:
        asked = bounds.of_query(request.query_params, BookingFilter)
        found = store.bookings(user_id=asked.user_id or "", status=asked.status or "")
        found = found.filter(owned_by(identity.owner(request)))
        page = pages.page(request=request, found=found, wanted=asked)
        return answer(page.answer(results=[serializers.booking(row) for row in page.rows]))

    @owner_views.door_of(
        OWNER, takes=NewBooking, begins=serializers.BookingBegun, shows=serializers.BookingShown
    )
    def post(self, request: Request) -> HttpResponse:
        wanted = problems.read(request.data, NewBooking)
        return owner_views.accept(
            acceptance=_acceptance,
            command=_command(request, wanted),
            request=request,
            status_path=STATUS_PATH,
            state=_state,
        )


class BookingView(APIView):
    """A booking: its slot, its frozen price and its status."""

    @door(SHOP, OPS_READ, callers=COORDINATORS, gives={200: serializers.BookingShown})
    def get(self, request: Request, booking_id: str) -> HttpResponse:
        return _shown(request, booking_id)


class VerdictView(APIView):
    """POST {"by", "reason"}: the manager approves or rejects; 200, also if repeated; otherwise 409:
    already_decided, decision_closed, not_started.
    """

    word = YES

    @door(
        OPS_ACT,
        takes=Approval,
        gives={200: serializers.BookingShown},
        refuses={409: (refusals.ALREADY_DECIDED, refusals.DECISION_CLOSED, refusals.NOT_STARTED)},
    )
    def post(self, request: Request, booking_id: str) -> HttpResponse:
        asked = problems.read(request.data, Approval)
        by = identity.of(request).named(asked.by, field="by")
        given = GivenVerdict(
            saga_id=booking_id,
            step=_step_to_approve(_asked(booking_id)),
            word=self.word,
            by=by,
            reason=asked.reason,
        )
        decisions.give(service=SERVICE, given=given)
        return _shown(request, booking_id)


class RejectView(VerdictView):
    word = NO


class CancelView(APIView):
    """POST {"by", "reason"}: 202 once its coordinator undoes it, also after it was reserved."""

    @door(
        SHOP,
        OPS_ACT,
        takes=Cancel,
        gives={202: serializers.BookingShown},
        refuses={409: WHY_NOT},
    )
    def post(self, request: Request, booking_id: str) -> HttpResponse:
        asked = problems.read(request.data or {}, Cancel)
        by = identity.of(request).named(asked.by, field="by", otherwise="customer")
        booking = _known(booking_id, user_id=identity.owner(request))
        given = _compensate(booking, by=by, reason=asked.reason)
        if given.status != 202:
            refused = given.decode(type=_Refusal)
            raise problems.refusal(Refused(refused.code, refused.detail), status=given.status)
        return _shown(request, booking_id, status=202)


def _command(request: Request, wanted: NewBooking) -> Accept:
    principal = identity.of(request)
    if wanted.auto_approve and not (principal.is_demo or OPS_ACT in principal.scopes):
        detail = f"auto_approve: booking without a manager takes the scope {OPS_ACT}."
        raise problems.Problem(status=403, code="forbidden", detail=detail)
    asked: dict[str, Any] = {
        "user_id": principal.named(wanted.user_id, field="user_id"),
        "slot_id": _slot_id(wanted.slot_id),
        "starts_at": wanted.starts_at,
        "ends_at": wanted.ends_at,
        "auto_approve": wanted.auto_approve,
    }
    alike = owner_views.accepting(
        owner=OWNER,
        door="/bookings",
        saga=wanted.saga,
        pattern=wanted.saga_pattern or "",
        request=request,
        asked=asked,
    )
    return Accept(**alike, **asked)


def _slot_id(named: str | int) -> int:
    """Raises Problem (404) if it can't be a slot's id."""
    number = bounds.number_in(str(named))
    if number is None:
        detail = f"There is no slot {named}."
        raise problems.refusal(Refused(refusals.UNKNOWN_SLOT, detail), status=404)
    return number


def _known(booking_id: str, *, user_id: str | None = None) -> Booking:
    found = store.booking(booking_id=booking_id, user_id=user_id)
    if found is None:
        raise problems.unknown("booking", booking_id)
    return found


def _asked(booking_id: str) -> Booking:
    """The booking, once its manager is asked. Raises Problem: 404; 409 if none was asked."""
    _known(booking_id)
    if not store.asked_or_over([booking_id]):
        _asking.wait(key=booking_id, seconds=ASKED_SECONDS)
    found = _known(booking_id)
    if not store.is_asked(booking_id=booking_id):
        raise problems.refusal(_why_not_asked(found))
    return found


def _why_not_asked(booking: Booking) -> Refused:
    if booking.approved_at:
        return Refused(refusals.ALREADY_DECIDED, "It was approved by itself: no manager is asked.")
    if booking.ended_at:
        return Refused(refusals.DECISION_CLOSED, "It has ended: no manager is asked.")
    return Refused(refusals.NOT_STARTED, "No manager has been asked yet: send it again.")


def _step_to_approve(booking: Booking) -> str:
    operation = f"{SERVICE}.{approve.action}"
    return next(step.name for step in SAGAS[booking.saga].steps if step.operation == operation)


def _compensate(booking: Booking, *, by: str, reason: str) -> ServiceResponse:
    """The coordinator's answer. Raises Problem (503) if it gives none."""
    pattern = PATTERNS[booking.saga_pattern]
    path = pattern.state.format(saga_id=quote(booking.saga_id, safe=""))
    body = {"requested_by": by, "reason": reason}
    try:
        with waiting.for_an_answer():
            return owners.client(pattern.coordinator).post(path=f"{path}/compensate", body=body)
    except Unreachable as error:
        raise problems.unavailable(pattern.coordinator) from error


def _shown(request: Request, booking_id: str, *, status: int = 200) -> HttpResponse:
    url = request.build_absolute_uri(STATUS_PATH.format(saga_id=booking_id))
    found = _state(booking_id, user_id=identity.owner(request))
    return answer({**found, "status_url": url}, status=status)


def _state(saga_id: str, *, user_id: str | None = None) -> dict[str, Any]:
    return serializers.booking(_known(saga_id, user_id=user_id))
