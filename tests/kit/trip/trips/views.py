"""Requests trips, and shows them."""

from typing import Any

import msgspec
from django.db.models.functions import Now
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts.bounds import Id, Name, SagaPattern
from coordination import owner_doors, owner_views
from coordination.owners import AcceptedState
from httpapi import problems
from trips.models import Trip
from trips.operations import OWNER, Accept

OWNER_URLS = owner_doors.urls(owner=OWNER, below="trips")
_acceptance = owner_views.Acceptance(owner=OWNER)


class NewTrip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    traveller: Id
    city: Name
    saga_pattern: SagaPattern = "orchestrated"


class TripsView(APIView):
    """POST: 202 once the trip is accepted, and durable; `Prefer: wait=N` answers its end."""

    @owner_views.door_of(OWNER, takes=NewTrip, begins=AcceptedState, shows=AcceptedState)
    def post(self, request: Request) -> HttpResponse:
        wanted = problems.read(request.data, NewTrip)
        asked = {"traveller": wanted.traveller, "city": wanted.city}
        alike = owner_views.accepting(
            owner=OWNER,
            door="/trips",
            saga="trip",
            pattern=wanted.saga_pattern,
            request=request,
            asked=asked,
        )
        return owner_views.accept(
            acceptance=_acceptance,
            command=Accept(**alike, **asked),
            request=request,
            status_path="/trips/accepted/{saga_id}",
            state=_state,
        )


def _state(saga_id: str) -> dict[str, Any]:
    trip = Trip.objects.annotate(answered_at=Now()).get(pk=saga_id)
    state: dict[str, Any] = msgspec.to_builtins(owner_doors.accepted_state(trip))
    return state
