"""Lanes: a queue for each call that can be made, and one batch at a time from each.

What comes while a batch is away waits and goes together next time, so batches grow with the load
by themselves; nothing ever waits for a batch to fill. A slow service holds up its own lanes only.

Threads belong to no lane: the one that has moved a saga on takes up the next lane itself, so a
lone saga goes through all its steps on one thread. There is always a thread for a lane with work.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

MOST_IN_A_BATCH = 100

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Lanes(Generic[Key, Item]):
    """Runs `work(key, items)` for what is put, each lane's batches one after the other.

    `work` puts what it has moved on into other lanes; it must not raise. `at_exit` runs in each
    thread at its end.
    """

    def __init__(
        self, *, work: Callable[[Key, list[Item]], None], at_exit: Callable[[], None]
    ) -> None:
        self._work = work
        self._at_exit = at_exit
        self._changed = threading.Condition()
        self._waiting: dict[Key, deque[Item]] = {}
        self._ready: deque[Key] = deque()
        self._busy: set[Key] = set()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._is_closed = False

    def put(self, key: Key, items: Iterable[Item]) -> None:
        """Queues the items."""
        with self._changed:
            waiting = self._waiting.setdefault(key, deque())
            if not waiting and key not in self._busy:
                self._ready.append(key)
            waiting.extend(items)
            # A thread of ours comes back for it by itself, right after this.
            if threading.current_thread() not in self._threads:
                self._call_a_thread()

    def close(self, *, seconds: float) -> None:
        """Starts no other batch; waits so long for those that are away."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(seconds)

    def _run(self) -> None:
        try:
            taken = self._take()
            while taken:
                self._work(*taken)
                taken = self._take(finished=taken[0])
        finally:
            self._at_exit()

    def _take(self, finished: Key | None = None) -> tuple[Key, list[Item]] | None:
        """The next batch of a lane that is free; waits for one. None when closed."""
        with self._changed:
            if finished is not None:
                self._free(finished)
            self._idle += 1
            self._changed.wait_for(lambda: self._ready or self._is_closed)
            self._idle -= 1
            if self._is_closed:
                return None
            key = self._ready.popleft()
            self._busy.add(key)
            if self._ready:
                self._call_a_thread()
            waiting = self._waiting[key]
            return key, [waiting.popleft() for _ in range(min(len(waiting), MOST_IN_A_BATCH))]

    def _free(self, key: Key) -> None:
        self._busy.discard(key)
        if self._waiting[key]:
            self._ready.append(key)

    def _call_a_thread(self) -> None:
        if self._idle:
            self._changed.notify()
        elif len(self._threads) < len(self._waiting) and not self._is_closed:
            thread = threading.Thread(target=self._run, name="lane", daemon=True)
            self._threads.add(thread)
            thread.start()
