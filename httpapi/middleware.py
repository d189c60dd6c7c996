"""What happens around each request: it is counted, and comes to connections that live."""

import threading
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from httpapi import severed

_lock = threading.Lock()
_served = 0


class RequestContext:
    """Counts the requests of this process; /health says how many."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        global _served
        with _lock:
            _served += 1
        severed.drop()
        return self.get_response(request)


def served() -> int:
    """How many requests this process has taken since its start."""
    return _served
