"""Waiting for a connection that may break meanwhile: nobody waits for ever, everybody hears why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from messaging.brokers import BrokerUnavailable

ANSWER_SECONDS = 15.0

Watcher = Callable[[BrokerUnavailable], None]


class Lifeline:
    """A connection or channel: alive, and then `lost` for good. Tells its watchers once."""

    def __init__(self) -> None:
        self.lost: BrokerUnavailable | None = None
        self._lock = threading.Lock()
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """Have `watcher` called with the reason of the loss; at once when it is lost already."""
        with self._lock:
            if self.lost is None:
                self._watchers.append(watcher)
                return
        watcher(self.lost)

    def unwatch(self, watcher: Watcher) -> None:
        """Take a `watch` back."""
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def lose(self, reason: str) -> None:
        """Declare it lost. Only the first reason counts."""
        with self._lock:
            if self.lost is not None:
                return
            lost = self.lost = BrokerUnavailable(reason)
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(lost)


class Answer:
    """What a question to the broker came to; fails when the lifeline breaks before."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._future: Future[Any] = Future()
        self._lifeline = lifeline
        lifeline.watch(self.fail)

    def give(self, value: Any = None) -> None:
        """Answer; what comes second is ignored."""
        with suppress(InvalidStateError):
            self._future.set_result(value)

    def fail(self, reason: BrokerUnavailable) -> None:
        """Answer with an error, unless it was answered."""
        with suppress(InvalidStateError):
            self._future.set_exception(BrokerUnavailable(str(reason)))

    def wait(self, *, seconds: float = ANSWER_SECONDS) -> Any:
        """Give the answer. Raises BrokerUnavailable when there is none in time."""
        try:
            return self._future.result(seconds)
        except TimeoutError:
            raise BrokerUnavailable(f"RabbitMQ gave no answer in {seconds:g} s") from None
        finally:
            self._lifeline.unwatch(self.fail)
