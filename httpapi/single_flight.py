"""Questions that may never be answered, asked on a thread that nobody needs otherwise.

A server that is paused, or a network that swallows packets, keeps whoever asks it. So one thread
of the process asks, with a connection of its own; those who want to know wait for it a stated
time, all of them for the same answer, and none is kept by it.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class SingleFlight:
    """One thread that answers one question after the other; each is under way at most once."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._under_way: dict[Callable[[], Any], Future[Any]] = {}
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, *, question: Callable[[], T], seconds: float) -> T:
        """Its answer, or that of the same question under way. Raises TimeoutError, and what the
        question raises.
        """
        with self._lock:
            answer = self._under_way.get(question)
            if answer is None or answer.done():
                answer = self._under_way[question] = Future()
                self._asked.put((question, answer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return answer.result(seconds)

    def _run(self) -> None:
        while True:
            question, answer = self._asked.get()
            try:
                answer.set_result(question())
            except Exception as error:  # noqa: BLE001 -- raised again where it was asked
                answer.set_exception(error)
