"""Admission: an owner accepts the sagas that can be done soon, and refuses the rest at once.

Beyond the capacity of a pattern, further sagas only wait, and take time from those that run. So the
next saga is refused (503, Retry-After) while those before it would take PATIENCE_SECONDS: by
Little's law (Operations Research 9, 1961) that is the number in flight divided by the rate at which
they end. An accepted saga is never dropped.

That rate is the capacity only if there was always enough to do. No saga is refused before the rate
is known, while fewer than ALWAYS are in flight, or while none ends: then some service is down, and
accepted sagas wait for it. Sagas that may wait for a person are never refused: their number in
flight does not measure the load.
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
"""Between two queries of the table, in a process that accepts many sagas."""
WINDOW_SECONDS = 5.0
"""Sagas that were accepted longer ago are not counted: they wait for something else."""
RATE_SECONDS = 1.0
"""The rate of ends is measured over this time."""
BUSY_SECONDS = 2.0
"""The rate counts as capacity if ALWAYS sagas were in flight for this time."""
FORGET_SECONDS = 30.0
"""A capacity is kept for this time, although under overload fewer sagas end."""
STANDSTILL_SECONDS = 2.0
FRESH_SECONDS = 1.0
"""No saga is refused by an older query result, while another thread queries again."""
NEVER = float("-inf")


@dataclass(kw_only=True)
class Flight:
    """The sagas of one name and pattern, as this process knows them. Used from any thread.

    `number`: in flight at the last query; `let_in`: accepted by this process since; `rate`: the
    best recent rate, 0 while unknown. Times are monotonic: since `busy_since` every query has found
    ALWAYS sagas in flight; at `moved_at` a query has last found sagas that ended.
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
        """Whether one more saga may be accepted; if so, counts it."""
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
        """The number of sagas that can be done within PATIENCE_SECONDS; infinite if unknown."""
        is_known = self.rate > 0 and now - self.rated_at <= 2 * FORGET_SECONDS
        is_stale = now - self.learnt_at > FRESH_SECONDS
        if not is_known or is_stale or now - self.moved_at > STANDSTILL_SECONDS:
            return inf
        return self.rate * PATIENCE_SECONDS

    @property
    def is_shut(self) -> bool:
        """Whether the next saga is certain to be refused; false once the next query is due, and
        while the first query after a pause runs."""
        now = time.monotonic()
        is_fresh = now - self.learnt_at <= FRESH_SECONDS
        return self.is_refusing and is_fresh and now - self.looked_at < LOOK_SECONDS

    def _should_look(self) -> bool:
        """Whether to query now; never at light load, when few were accepted since."""
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
    """The fields of a request that name its flight."""

    saga: str | None = None
    saga_pattern: str | None = None


_asked = msgspec.json.Decoder(_Asked)


def is_shut(service: str, path: str, body: bytes) -> bool:
    """Whether this request is certain to be refused: found out before any other work on it, at a
    fraction of its cost.
    """
    names = [saga.name for saga in SAGAS.values() if (saga.owner, saga.door) == (service, path)]
    if not names or not any(flight.is_shut for flight in tuple(_flights.values())):
        return False
    try:
        asked = _asked.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False  # its answer says what is wrong with it
    saga = asked.saga or names[0]
    pattern = asked.saga_pattern or SAGAS[saga].pattern if saga in SAGAS else ""
    return (flight := _flights.get((service, saga, pattern))) is not None and flight.is_shut


def admit(*, owner: Owner, saga: str, pattern: str) -> None:
    """Raises Problem (503) if this saga would have to wait too long."""
    if any(step.decided_by for step in SAGAS[saga].steps):
        return
    key = owner.service, saga, pattern
    flight = _flights.get(key) or _flights.setdefault(
        key, Flight(owner=owner, saga=saga, pattern=pattern)
    )
    if not flight.lets_in():
        metrics.count(metrics.REFUSED, "admission")
        raise problems.overloaded()
