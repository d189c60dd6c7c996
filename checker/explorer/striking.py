"""Where a process is struck: the place where it crashes, or is suspended while others go on.

The places are the named points of the code (`participant.points`), and those of the
tables in memory.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from checker.explorer.scheduling import Player


class Crashed(BaseException):
    """The process died here. No handler may catch it, as none could."""


class Strike:
    """One strike at a time. `aside`: suspends the transaction that is open, if one is."""

    def __init__(self, aside: Callable[[], AbstractContextManager[None]]) -> None:
        self._aside = aside
        self._crash_at = ""
        self._pause_at = ""
        self._who = ""
        self.player: Player | None = None
        self.depth = 0

    def clear(self) -> None:
        self._crash_at = self._pause_at = ""

    def crash(self, *, at: str) -> None:
        """Whoever comes there next dies."""
        self._crash_at = at

    def pause(self, *, at: str, who: str) -> None:
        """Whoever comes there next is suspended there."""
        self._pause_at, self._who = at, who

    def reached(self, place: str, of: object = None) -> None:
        """Somebody has come there (in place of `participant.points.reach`). Raises Crashed."""
        if place == self._crash_at:
            self.clear()
            raise Crashed(place)
        if place == self._pause_at and self.player is not None:
            self.clear()
            self.depth += 1
            try:
                with self._aside():
                    self.player.meanwhile(who=self._who)
            finally:
                self.depth -= 1
