"""Pages that move: a part of a page is rendered again and again, and sent as it changes.

By server-sent events, where the browser and a free place allow it, else by polling the same
address (docs/adr/0023-the-dashboard.md). A stream holds a thread, and a slot with its connections
only while it renders.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from httpapi import slots, waiting
from httpapi.waiting import Places
from participant import stale_connections

T = TypeVar("T")
MOST_STREAMS = 64
"""Of one process, whose threads are stack.services.WEB_THREADS; who comes later polls."""
STREAM_SECONDS = 300.0
"""The browser then asks for a new one: none is kept for somebody who has gone."""
places = Places(most=MOST_STREAMS)


class Shared(Generic[T]):
    """A value that costs something, made at most every so many seconds for all who look."""

    def __init__(self, make: Callable[[], T], *, seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._lock = threading.Lock()
        self._made: tuple[float, T] | None = None

    def get(self) -> T:
        """Who finds it too old makes it anew; others take the old one meanwhile."""
        known = self._made
        if not self._lock.acquire(blocking=known is None) and known:
            return known[1]
        try:
            now = time.monotonic()
            if self._made is None or now - self._made[0] > self._seconds:
                self._made = now, self._make()
            return self._made[1]
        finally:
            self._lock.release()


def part(request: HttpRequest, render: Callable[[], str], *, seconds: float) -> Any:
    """The part as it is now; with `?stream=1`, as it changes: every so many seconds it is rendered.
    Where there is no place for another stream, the event `full` says so."""
    if not request.GET.get("stream"):
        return HttpResponse(render())
    response = StreamingHttpResponse(_frames(render, seconds), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


def _frames(render: Callable[[], str], seconds: float) -> Iterator[bytes]:
    last, until = "", time.monotonic() + STREAM_SECONDS
    with places.one() as has_place:
        if not has_place:
            yield b"event: full\ndata: poll instead\n\n"
            return
        yield b"retry: 1000\n\n"
        while time.monotonic() < until:
            text = _rendered(render)
            if text != last:
                yield b"".join(b"data: %s\n" % line.encode() for line in text.splitlines()) + b"\n"
                last = text
            else:
                yield b": as before\n\n"  # a browser that has gone is noticed by it
            if waiting.places.is_closed.wait(seconds):
                return


def _rendered(render: Callable[[], str]) -> str:
    """In a slot, as a request is answered."""
    try:
        with slots.working.taken():
            stale_connections.close()
            return render()
    except (DatabaseError, InterfaceError) as error:
        stale_connections.mark(error=error)
        return '<p class="away" role="alert">A database does not answer; the page goes on.</p>'
    except slots.NoSlot:
        return '<p class="away" role="alert">The dashboard is busy; the page goes on.</p>'
