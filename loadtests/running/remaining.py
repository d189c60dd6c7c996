"""How long a run takes by its plan, and what is left of it: windows as planned, and around each as
much time as the windows so far have shown.
"""

from collections.abc import Sequence

from loadtests.load.schedule import Arrivals
from loadtests.load.windows import Window

AROUND_SECONDS = {Arrivals.POISSON: 1.4, Arrivals.CONSTANT: 3.5}
"""Around a window (supplied, drained, left to rest, read), until windows have shown it. Constant
arrivals are for what may be too much: more carts are made before, and a backlog ends after them."""
AS_GOOD_AS = 5
"""Windows: so many weigh as much as the assumption."""
START_SECONDS = 20.0
AUDIT_SECONDS = 5.0
FULL_AUDIT_SECONDS = 60.0
"""Of a full run, before and after its outage: some 150,000 sagas."""


class Remaining:
    """Learns from each window what one takes beside its own time."""

    def __init__(self, *, after: float = 0.0) -> None:
        """`after`: seconds of what comes after the last window."""
        self._after = after
        self._around = {kind: one * AS_GOOD_AS for kind, one in AROUND_SECONDS.items()}
        self._seen = dict.fromkeys(AROUND_SECONDS, AS_GOOD_AS)

    def add(self, *, window: Window, took: float) -> None:
        """A window has ended, `took` seconds after the one before it."""
        self._around[window.arrivals] += took - window.seconds
        self._seen[window.arrivals] += 1

    def seconds(self, *, to_come: Sequence[Window]) -> float:
        """Until the end, with these windows to come."""
        around = {kind: max(self._around[kind] / self._seen[kind], 0.0) for kind in Arrivals}
        return sum(one.seconds + around[one.arrivals] for one in to_come) + self._after


def as_minutes(*, seconds: float) -> str:
    """190 is 3:10."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
