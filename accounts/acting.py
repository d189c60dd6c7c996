"""Records the person of the session as the actor, in the admin and the dashboard."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from httpapi.middleware import FORMS, trace_of
from participant import trail
from participant.in_bulk import reason_of


class ActingMiddleware:
    """Begins the trail's actor before the view, for each form that is sent."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, *path: Any) -> None:
        if request.method != "POST" or not request.path_info.startswith(FORMS):
            return
        if request.user.is_authenticated:
            trail.begin(
                trail.Actor(
                    by=request.user.get_username(),
                    via="admin",
                    reason=reason_of(request),
                    trace_id=trace_of(request),
                )
            )
