"""Live pages: a part of a page is rendered repeatedly, and sent when it changes.

By server-sent events, if the browser supports them and a stream is free; otherwise by polling the
same address (docs/adr/0023-the-dashboard.md). A stream holds a thread; it holds a slot with its
connections only while it renders.
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
"""In one process, which has stack.services.WEB_THREADS threads; further browsers poll."""
STREAM_SECONDS = 300.0
"""The browser then opens a new stream: none is kept for a browser that has gone."""
places = Places(most=MOST_STREAMS)


class Shared(Generic[T]):
    """An expensive value, computed at most every so many seconds for all readers."""

    def __init__(self, make: Callable[[], T], *, seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._lock = threading.Lock()
        self._made: tuple[float, T] | None = None

    def get(self) -> T:
        """The value. A caller that finds it too old computes it; others get the old value
        meanwhile.
        """
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
    """The part once; with `?stream=1`, a stream that renders it every so many seconds, and sends it
    when it changes. The event `full`: there is no room for another stream.
    """
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
                yield b": as before\n\n"  # fails if the browser has gone
            if waiting.places.is_closed.wait(seconds):
                return


def _rendered(render: Callable[[], str]) -> str:
    """Renders within a slot, like a request."""
    try:
        with slots.working.taken():
            stale_connections.close()
            return render()
    except (DatabaseError, InterfaceError) as error:
        stale_connections.mark(error=error)
        return '<p class="away" role="alert">A database does not answer; the page goes on.</p>'
    except slots.NoSlot:
        return '<p class="away" role="alert">The dashboard is busy; the page goes on.</p>'
