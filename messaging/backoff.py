"""How long to wait after faults that follow one another."""


class Backoff:
    """Pauses that double from `first` to `longest` seconds, until it has gone well again."""

    def __init__(self, *, first: float = 0.1, longest: float = 2.0) -> None:
        self._first, self._longest = first, longest
        self._next = first

    def pause(self) -> float:
        """Seconds to wait after one more fault."""
        now, self._next = self._next, min(self._next * 2, self._longest)
        return now

    def went_well(self) -> None:
        """The next pause is the first one again."""
        self._next = self._first
