"""How often what may go wrong in one schedule: so that every schedule ends, and can be judged."""

MOST = {
    "double": 2,
    "lose": 2,
    "crash": 3,
    "overlap": 2,
    "early nudge": 2,
    "deadline": 1,
    "call": 3,
    "outage": 1,
    "stale": 2,
}


class Limits:
    """What is left of each. `is_interfered`: somebody or the time has stopped a saga, so that it
    is open how many complete. `may_return`: somebody was answered that a saga will be undone, and
    so a completed one may be returned. `promised`: those sagas.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.left = dict(MOST)
        self.is_interfered = False
        self.may_return = False
        self.promised: set[str] = set()

    def promise(self, saga_id: str) -> None:
        """Somebody was answered that it will be undone."""
        self.may_return = True
        self.promised.add(saga_id)

    def spend(self, kind: str) -> None:
        self.left[kind] -= 1

    def spent(self, *kinds: str) -> int:
        """How often it has struck."""
        return sum(MOST[kind] - self.left[kind] for kind in kinds)
