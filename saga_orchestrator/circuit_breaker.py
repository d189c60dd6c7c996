"""A circuit breaker: a service that is down is left alone, and asked now and then if it is back."""

import threading
import time
from collections.abc import Callable

FAULTS_TO_OPEN = 3
"""Fewer than the engine's tries, so that an outage costs no saga all of them."""
FIRST_OPEN_SECONDS = 0.5
LONGEST_OPEN_SECONDS = 2.0
LONGEST_HOLD_SECONDS = 5.0


class Breaker:
    """Closed: calls pass. Open: none does. After a while one thread probes, and may close it.

    The probe asks the service whether it is ready: no saga spends a try on finding out. The first
    call after it is the real proof, and opens the breaker again at once if it faults.
    """

    def __init__(
        self, *, probe: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._lock = threading.Lock()
        self._faults = 0
        self._opened_at = 0.0
        self._closed_until_probe = 0.0
        self._pause = 0.0

    @property
    def is_open(self) -> bool:
        return self._pause > 0

    def allows(self) -> bool:
        """Whether a call may be made now; probes if it is time to."""
        if not self.is_open:
            return True
        with self._lock:
            if not self.is_open or self._clock() < self._closed_until_probe:
                return not self.is_open
            self._closed_until_probe = self._clock() + LONGEST_OPEN_SECONDS
        self._settle(is_back=self._probe())
        return not self.is_open

    def succeeded(self) -> None:
        if self._faults:
            with self._lock:
                self._faults = 0

    def faulted(self) -> None:
        with self._lock:
            self._faults += 1
            if self._faults >= FAULTS_TO_OPEN and not self.is_open:
                self._opened_at = self._clock()
                self._open(FIRST_OPEN_SECONDS)

    def hold_seconds(self, *, draw: float) -> float:
        """For how long to put a call aside: longer in a longer outage, so that many that wait
        cost little, and spread, so that they do not all come at once.
        """
        outage = self._clock() - self._opened_at
        return min(LONGEST_HOLD_SECONDS, self._pause + outage / 4) * (0.5 + 0.5 * draw)

    def _settle(self, *, is_back: bool) -> None:
        with self._lock:
            if is_back:
                self._pause = 0.0
                self._faults = FAULTS_TO_OPEN - 1
            else:
                self._open(min(LONGEST_OPEN_SECONDS, self._pause * 2))

    def _open(self, seconds: float) -> None:
        self._pause = seconds
        self._closed_until_probe = self._clock() + seconds
