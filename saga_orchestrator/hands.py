"""The sagas that a runner has in hand, and how many of them wait for the same call.

A saga is in hand from before its first call until what came of its last one is written. Whatever
else is due is anybody's, also what the database says is this runner's (`sagalog.claim`).
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable

from saga_orchestrator.sagalog import Call, InFlight, call_of

MOST_AT_A_CALL = 300
"""Three batches. A slow service's sagas must not fill a runner's hands: what waits beyond this is
left to be claimed later, and the others go on."""


class Hands:
    """May be used from any thread."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[InFlight, Call]] = {}
        self._waiting: Counter[Call] = Counter()
        self._resting: dict[str, float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def saga_ids(self) -> list[str]:
        """Those in hand, and those that rest: no others may be lost to this runner."""
        now = time.monotonic()
        with self._lock:
            self._resting = {one: until for one, until in self._resting.items() if until > now}
            return [*self._held, *self._resting]

    def take(self, *, sagas: Iterable[InFlight]) -> None:
        """Has these, each waiting for the call that is due to it; known ones wait for another."""
        with self._lock:
            for saga in sagas:
                self._forget(saga.saga_id)
                call = call_of(progress=saga.progress)
                self._held[saga.saga_id] = saga, call
                self._waiting[call] += 1

    def lay_down(self, *, sagas: Iterable[InFlight]) -> None:
        """Has these no longer; one that was claimed again since stays."""
        with self._lock:
            for saga in sagas:
                if saga.saga_id in self._held and self._held[saga.saga_id][0] is saga:
                    self._forget(saga.saga_id)

    def rest(self, *, sagas: Iterable[InFlight], seconds: float) -> None:
        """Leaves these alone for so long, after a fault: a bug must not be met at full speed."""
        until = time.monotonic() + seconds
        with self._lock:
            self._resting |= {saga.saga_id: until for saga in sagas}

    def room(self, *, call: Call) -> int:
        """How many more may wait for this call."""
        return MOST_AT_A_CALL - self._waiting[call]

    def crowded(self) -> list[Call]:
        """The calls for which no more are to wait."""
        with self._lock:
            return [call for call, count in self._waiting.items() if count >= MOST_AT_A_CALL]

    def _forget(self, saga_id: str) -> None:
        known = self._held.pop(saga_id, None)
        if known:
            self._waiting[known[1]] -= 1
