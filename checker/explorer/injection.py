"""A clock that is moved by hand, and fault injection: where a process dies or stops.

The places at which a process crashes, or is suspended while others go on, are the failpoints of the
code (`participant.failpoints`), and those of the tables in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo

from checker.explorer.scheduling import Player

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Clock:
    """Replaces `datetime` (now) and `time` (monotonic): a schedule always has the same times. Each
    `now` is a microsecond later than the one before.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._now = BEGINNING

    def reset(self) -> None:
        self.seconds, self._now = 0.0, BEGINNING

    def now(self, tz: tzinfo | None = None) -> datetime:
        self._now += _TICK
        return self._now

    def monotonic(self) -> float:
        return self.seconds

    def stamp(self) -> float:
        """Now, in seconds since the beginning: what the audit's rows compare."""
        return (self.now() - BEGINNING).total_seconds()

    def passes(self, seconds: float) -> None:
        """Moves the clock forward."""
        self.seconds += seconds
        self._now += timedelta(seconds=seconds)


class NoChance:
    """Replaces `random` where it only spreads load over time."""

    def random(self) -> float:
        return 0.5

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


class Crashed(BaseException):
    """The process died here. A BaseException, so that no handler catches it."""


class FaultInjection:
    """One injection at a time. `suspended`: suspends the open transaction, if there is one."""

    def __init__(self, suspended: Callable[[], AbstractContextManager[None]]) -> None:
        self._suspended = suspended
        self._crash_at = ""
        self._pause_at = ""
        self._who = ""
        self.player: Player | None = None
        self.depth = 0

    def clear(self) -> None:
        self._crash_at = self._pause_at = ""

    @contextmanager
    def crashing(self, *, at: str) -> Iterator[None]:
        """Within the block, the next process that reaches `at` dies."""
        self._crash_at = at
        try:
            yield
        finally:
            self.clear()

    @contextmanager
    def pausing(self, *, at: str, who: str) -> Iterator[None]:
        """Within the block, the next process that reaches `at` is suspended."""
        self._pause_at, self._who = at, who
        try:
            yield
        finally:
            self.clear()

    def reached(self, place: str, of: object = None) -> None:
        """Replaces `participant.failpoints.reach`. Raises Crashed."""
        if place == self._crash_at:
            self.clear()
            raise Crashed(place)
        if place == self._pause_at and self.player is not None:
            self.clear()
            self.depth += 1
            try:
                with self._suspended():
                    self.player.meanwhile(who=self._who)
            finally:
                self.depth -= 1
