"""The sagas that a runner has in hand, and how many of them wait for the same call."""

import threading
from collections import Counter
from collections.abc import Iterable

from saga_orchestrator.sagalog import Call, InFlight, call_of

MOST_AT_A_CALL = 300
"""Three batches. A slow service's sagas must not fill a runner's hands: what waits beyond this is
left to be claimed later, and the others go on."""


class Hands:
    """May be used from any thread."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._waiting: Counter[Call] = Counter()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def saga_ids(self) -> list[str]:
        with self._lock:
            return list(self._calls)

    def take(self, *, sagas: Iterable[InFlight]) -> None:
        """Has these, each waiting for the call that is due to it; known ones wait for another."""
        with self._lock:
            for saga in sagas:
                self._forget(saga.saga_id)
                call = self._calls[saga.saga_id] = call_of(progress=saga.progress)
                self._waiting[call] += 1

    def lay_down(self, *, sagas: Iterable[InFlight]) -> None:
        """Has these no longer."""
        with self._lock:
            for saga in sagas:
                self._forget(saga.saga_id)

    def room(self, *, call: Call) -> int:
        """How many more may wait for this call."""
        return MOST_AT_A_CALL - self._waiting[call]

    def crowded(self) -> list[Call]:
        """The calls for which no more are to wait."""
        with self._lock:
            return [call for call, count in self._waiting.items() if count >= MOST_AT_A_CALL]

    def _forget(self, saga_id: str) -> None:
        call = self._calls.pop(saga_id, None)
        if call:
            self._waiting[call] -= 1
