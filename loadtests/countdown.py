"""How much time a run still needs, from what was expected and how long things took so far."""

LEAST_SEEN = 0.05
"""Of all that is expected, before what is seen counts for more than the expectation."""


class Countdown:
    """Seconds. What is to come takes as much longer than expected as what has been."""

    def __init__(self, *, expected: float, began: float) -> None:
        self._expected = expected
        self._began = began
        self._done = 0.0

    def has_done(self, *, expected: float) -> None:
        """Something that was expected to take so long is over."""
        self._done += expected

    def skips(self, *, expected: float) -> None:
        """Something that was expected to take so long is not to come."""
        self._expected -= expected

    def left(self, *, now: float) -> str:
        """As minutes and seconds."""
        is_known = self._done > self._expected * LEAST_SEEN
        pace = (now - self._began) / self._done if is_known else 1.0
        minutes, seconds = divmod(round(max(self._expected - self._done, 0.0) * pace), 60)
        return f"{minutes}:{seconds:02} left"
