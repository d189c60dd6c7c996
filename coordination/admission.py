"""Admission: an owner lets in what can be done soon, and refuses the rest at once.

Beyond what a pattern can do, what is accepted more only waits, and takes time from what runs. So
the next saga is refused (503, Retry-After) while those before it would take PATIENCE_SECONDS: by
Little's law (Operations Research 9, 1961) that is the number in flight over the rate at which they
end. What is accepted is never dropped.

That rate tells what can be done only of a time in which there was always enough to do. Nothing is
refused before it is known, while fewer than ALWAYS are in flight, nor while none ends: then
something is away, and what is accepted waits for it. Nor of a saga that may wait for a person: how
many of those are in flight says nothing of the load.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from math import inf

import msgspec

from contracts.saga import SAGAS
from coordination.acceptance import Owner
from httpapi import problems
from participant import metrics

log = logging.getLogger(__name__)

ALWAYS = 200
PATIENCE_SECONDS = 3.0
LOOK_SECONDS = 0.1
"""Between two looks at the table, of a process that lets in many."""
WINDOW_SECONDS = 5.0
"""Of sagas that were accepted longer ago, none is counted: they wait for something else."""
RATE_SECONDS = 1.0
"""The rate of ends is that of so long."""
BUSY_SECONDS = 2.0
"""So long ALWAYS must have been in flight for it to tell what can be done."""
FORGET_SECONDS = 30.0
"""What could be done just now can be done again, though less is done while ever more come."""
STANDSTILL_SECONDS = 2.0
FRESH_SECONDS = 1.0
"""Nobody is refused for what was seen longer ago, while another one looks anew."""
NEVER = float("-inf")


@dataclass(kw_only=True)
class Flight:
    """The sagas of one page and pattern, as this process knows them. Used from any thread.

    `number`: in flight, at the last look; `let_in`: by this process, after it; `rate`: the
    best of late, 0 while it is not known. Times are monotonic: `busy_since` so many were in flight
    at each look, `moved_at` a look had seen one that ended.
    """

    owner: Owner
    saga: str
    pattern: str
    number: int = 0
    let_in: int = 0
    rate: float = 0.0
    rated_at: float = NEVER
    looked_at: float = NEVER
    learnt_at: float = NEVER
    busy_since: float = NEVER
    moved_at: float = NEVER
    is_refusing: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def lets_in(self) -> bool:
        """Whether one more may be accepted; it counts from now on."""
        if self._should_look():
            number, ended = self.owner.sagas.in_flight(
                saga=self.saga, pattern=self.pattern, among=WINDOW_SECONDS, within=RATE_SECONDS
            )
            with self.lock:
                self._learn(number=number, rate=ended / RATE_SECONDS, now=time.monotonic())
        with self.lock:
            number = self.number + self.let_in
            is_full = number >= max(ALWAYS, self._can_be_done(now=time.monotonic()))
            self.let_in += not is_full
            has_turned, self.is_refusing = is_full != self.is_refusing, is_full
        if has_turned:
            what = "refused" if is_full else "accepted again"
            told = (self.saga, self.pattern, what, number, self.rate)
            log.info("%s, %s: %s, with %d in flight; %.0f/s can be done", *told)
        return not is_full

    def _learn(self, *, number: int, rate: float, now: float) -> None:
        if number < ALWAYS:
            self.busy_since = now
        self.number, self.let_in, self.learnt_at = number, 0, now
        if rate:
            self.moved_at = now
        was_busy = now - self.busy_since >= BUSY_SECONDS
        if was_busy and (rate >= self.rate or now - self.rated_at > FORGET_SECONDS):
            self.rate, self.rated_at = rate, now

    def _can_be_done(self, *, now: float) -> float:
        """So many within PATIENCE_SECONDS."""
        is_known = self.rate > 0 and now - self.rated_at <= 2 * FORGET_SECONDS
        is_stale = now - self.learnt_at > FRESH_SECONDS
        if not is_known or is_stale or now - self.moved_at > STANDSTILL_SECONDS:
            return inf
        return self.rate * PATIENCE_SECONDS

    @property
    def is_shut(self) -> bool:
        """Whether the next one is refused for sure; until somebody has to look again, and not
        while the first one after a pause looks."""
        now = time.monotonic()
        is_fresh = now - self.learnt_at <= FRESH_SECONDS
        return self.is_refusing and is_fresh and now - self.looked_at < LOOK_SECONDS

    def _should_look(self) -> bool:
        """Not where few were let in since: at light load nobody looks."""
        now = time.monotonic()
        with self.lock:
            looks = self.number + self.let_in >= ALWAYS and now - self.looked_at >= LOOK_SECONDS
            if looks:
                if now - self.looked_at > BUSY_SECONDS:
                    self.busy_since = now
                self.looked_at = now
        return looks


_flights: dict[tuple[str, str, str], Flight] = {}
"""By service, saga and pattern."""


class _Asked(msgspec.Struct):
    """What tells which flight a request is for."""

    saga: str | None = None
    saga_pattern: str | None = None


_asked = msgspec.json.Decoder(_Asked)


def is_shut(service: str, path: str, body: bytes) -> bool:
    """Whether this request would be refused for sure: so much can be told before it is worked on,
    and at a fraction of the cost.
    """
    pages = [page for page in SAGAS.values() if (page.owner, page.door) == (service, path)]
    if not pages or not any(flight.is_shut for flight in tuple(_flights.values())):
        return False
    try:
        asked = _asked.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False  # it is told what is wrong with it
    saga = asked.saga or pages[0].name
    pattern = asked.saga_pattern or SAGAS[saga].pattern if saga in SAGAS else ""
    return (flight := _flights.get((service, saga, pattern))) is not None and flight.is_shut


def admit(*, owner: Owner, saga: str, pattern: str) -> None:
    """Raises Problem (503) where this saga would have to wait too long."""
    if any(step.decided_by for step in SAGAS[saga].steps):
        return
    key = owner.service, saga, pattern
    flight = _flights.get(key) or _flights.setdefault(
        key, Flight(owner=owner, saga=saga, pattern=pattern)
    )
    if not flight.lets_in():
        metrics.count(metrics.REFUSED, "admission")
        raise problems.overloaded()
