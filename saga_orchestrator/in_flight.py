"""The sagas that a runner has in flight, and the bulkheads in which they wait for their calls.

A saga is in flight from before its first call until the result of its last call is written. Due
sagas that are not in flight can be claimed (`store.claim`), also if their row names this runner.

A bulkhead (Nygard, Release It!) is a queue for one endpoint, with one batch in flight at a time.

Sagas that arrive while a batch is in flight go together in the next one, so batches grow with the
load; no saga waits for a batch to fill. A slow service holds up its own bulkheads only.

Threads belong to no bulkhead: the thread that has moved a saga on takes the next batch itself, so a
lone saga goes through all its steps on one thread. A bulkhead with work always finds a thread.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from math import inf
from typing import Generic, NamedTuple, TypeVar

import msgspec

from contracts import projection
from contracts.saga import Context
from contracts.states import SagaStatus
from coordination.engine import Progress, StepRecord, Transition


class StepTaken(NamedTuple):
    """The record of a call that was made; when it was due and when it ended, in epoch seconds."""

    record: StepRecord
    entered: float
    ended: float


class DatabaseClock:
    """The database's clock as this process estimates it: a time that a statement returned lies
    between the statement's beginning and its end (Cristian 1989). Thread-safe.
    """

    def __init__(self) -> None:
        self._least, self._most = -inf, inf
        self._ahead = 0.0

    def now(self) -> float:
        """Epoch seconds; only after the first `observe`."""
        return time.monotonic() + self._ahead

    def observe(self, *, began: float, returned: float) -> None:
        """A statement that `began` then (monotonic) has just returned this time."""
        least, most = returned - time.monotonic(), returned - began
        if most < self._least or least > self._most:  # the database's clock was set
            self._least, self._most = least, most
        self._least, self._most = max(self._least, least), min(self._most, most)
        self._ahead = (self._least + self._most) / 2


database_clock = DatabaseClock()


class ClaimedSaga(msgspec.Struct, kw_only=True):
    """A saga as it was read: `version` is what its next transition is fenced by.

    `deadline`: seconds from the read; its runner adds the monotonic time. `entered`: since when its
    call is due, in epoch seconds. `waited`: seconds since that call went out as a message; None if
    it has not. `unwritten`: the steps taken since the last transition that was written;
    `has_grown`: whether the context has changed since then.
    """

    saga_id: str
    name: str
    version: int
    status: SagaStatus
    context: Context
    progress: Progress
    stop_requested: bool
    deadline: float
    entered: float
    waited: float | None = None
    unwritten: list[StepTaken] = []
    has_grown: bool = False

    def go_on(self, transition: Transition, *, now: float) -> None:
        """Makes a transition that is written later. `now`: on the database's clock."""
        if transition.record:
            self.unwritten.append(StepTaken(transition.record, self.entered, now))
        context = self.context_after(transition)
        self.has_grown |= context is not self.context
        self.context, self.progress, self.entered = context, transition.progress, now

    def go_on_written(self, transition: Transition, *, moved: float) -> None:
        """Makes a transition that was written at `moved`, on the database's clock."""
        self.version += 1
        self.context, self.progress = self.context_after(transition), transition.progress
        self.entered, self.unwritten, self.has_grown = moved, [], False

    def context_after(self, transition: Transition) -> Context:
        """The context with the step's result, if a later step needs it."""
        record = transition.record
        if not (record and record.result):
            return self.context
        steps = transition.progress.steps
        return projection.with_result(
            context=self.context,
            steps=steps,
            step=steps[record.position].name,
            outcome=record.result,
        )


Call = tuple[str, str]
"""A step's name, and the direction."""


def call_of(*, progress: Progress) -> Call:
    """The call that is due."""
    return progress.step.name, progress.direction.value


class ClaimedUnreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed row that this version of the code cannot run."""

    saga_id: str
    version: int
    reason: str


MOST_AT_A_CALL = 300
"""Three batches. A slow service's sagas must not fill a runner's in-flight set: sagas beyond this
are claimed later, and sagas at other calls go on."""


class InFlightSet:
    """Thread-safe."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[ClaimedSaga, Call]] = {}
        self._waiting: Counter[Call] = Counter()
        self._resting: dict[str, float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def saga_ids(self) -> list[str]:
        """The sagas in flight and at rest: all that this runner must not claim again."""
        now = time.monotonic()
        with self._lock:
            self._resting = {
                saga_id: until for saga_id, until in self._resting.items() if until > now
            }
            return [*self._held, *self._resting]

    def add(self, *, sagas: Iterable[ClaimedSaga]) -> None:
        """Adds the sagas, each under the call that is due; a known saga moves to its new call."""
        with self._lock:
            for saga in sagas:
                # Keeps the call as it is now: `saga.progress` will have moved on when the saga is
                # forgotten, and would lower the wrong count.
                self._forget(saga.saga_id)
                call = call_of(progress=saga.progress)
                self._held[saga.saga_id] = saga, call
                self._waiting[call] += 1

    def remove(self, *, sagas: Iterable[ClaimedSaga]) -> None:
        """Removes the sagas, but not one that was claimed again since."""
        with self._lock:
            for saga in sagas:
                # By identity, not by id: another claim has made another object of it.
                if saga.saga_id in self._held and self._held[saga.saga_id][0] is saga:
                    self._forget(saga.saga_id)

    def rest(self, *, sagas: Iterable[ClaimedSaga], seconds: float) -> None:
        """Keeps the sagas from being claimed for so long: a bug must not repeat at full speed."""
        until = time.monotonic() + seconds
        with self._lock:
            self._resting |= {saga.saga_id: until for saga in sagas}

    def room(self, *, call: Call) -> int:
        """How many more sagas may wait for this call."""
        return MOST_AT_A_CALL - self._waiting[call]

    def full(self) -> list[Call]:
        """The calls for which no more sagas may wait."""
        with self._lock:
            return [call for call, count in self._waiting.items() if count >= MOST_AT_A_CALL]

    def _forget(self, saga_id: str) -> None:
        known = self._held.pop(saga_id, None)
        if known:
            self._waiting[known[1]] -= 1


MOST_IN_A_BATCH = 100

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Bulkheads(Generic[Key, Item]):
    """Runs `work(key, items)` on the items put, each bulkhead's batches one after the other.

    `work` puts the items that go on into other bulkheads; it must not raise. `at_exit` runs at the
    end of each thread.
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
            # A bulkhead thread takes the next batch itself right after this: a lone saga stays on
            # one thread, and costs no switch at each step.
            if threading.current_thread() not in self._threads:
                self._wake_a_thread()

    def close(self, *, seconds: float) -> None:
        """Starts no other batch; waits at most `seconds` for each that runs."""
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
        """Waits for a free bulkhead with work; returns its next batch, or None when closed."""
        with self._changed:
            if finished is not None:
                self._busy.discard(finished)
                if self._waiting[finished]:
                    self._ready.append(finished)
            self._idle += 1
            self._changed.wait_for(lambda: self._ready or self._is_closed)
            self._idle -= 1
            if self._is_closed:
                return None
            key = self._ready.popleft()
            self._busy.add(key)
            # Each thread that takes a batch wakes one more while there is work, so no bulkhead
            # waits for a thread that is away on a call.
            if self._ready:
                self._wake_a_thread()
            waiting = self._waiting[key]
            return key, [waiting.popleft() for _ in range(min(len(waiting), MOST_IN_A_BATCH))]

    def _wake_a_thread(self) -> None:
        if self._idle:
            self._changed.notify()
        elif len(self._threads) < len(self._waiting) and not self._is_closed:
            thread = threading.Thread(target=self._run, name="bulkhead", daemon=True)
            self._threads.add(thread)
            thread.start()
