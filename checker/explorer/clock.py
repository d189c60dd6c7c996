"""Time that passes only when it is told to: the same schedule meets the same times."""

from datetime import UTC, datetime, timedelta, tzinfo

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Clock:
    """Stands in for `datetime` (now) and `time` (monotonic). Each look is a microsecond later."""

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
        """So much time goes by."""
        self.seconds += seconds
        self._now += timedelta(seconds=seconds)


class NoChance:
    """Stands in for `random` where chance only spreads load over time."""

    def random(self) -> float:
        return 0.5

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2
