"""The conductor: moves the sagas in its hands on until they end, wait or are parked.

    lane -> one call for the batch -> the moves that follow, in one statement -> the next lane

A move is written before the next call is made, so the process may die anywhere: the saga is then
found at the call that was due, and that is made again under the same key.

What follows for a saga is the engine's move, given the time and chance of this moment: the same
here, where calls go over HTTP, and where they go as messages (`messages`).
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
from django.db import DatabaseError, InterfaceError

from contracts import refusals
from contracts.states import SagaStatus
from participant import points
from saga_orchestrator import engine, store
from saga_orchestrator.engine import Answer, Fault, Move, Progress
from saga_orchestrator.in_flight import Hands, Lanes
from saga_orchestrator.participants import Participants, Target, target_of
from saga_orchestrator.store import Call, InFlight, Unreadable, call_of

log = logging.getLogger(__name__)

STOPPED = "A stop was asked for."
Step = tuple[InFlight, Move]
"""A saga, and the move that it makes."""


def turned_back(*, saga: InFlight, progress: Progress, now: float) -> Move | None:
    """The move that turns it back at `progress`, if somebody wants that or its time is over.

    `now`: on the clock of the saga's deadline.
    """
    if saga.stop_requested:
        return engine.interrupt(progress=progress, code=refusals.STOPPED, detail=STOPPED)
    if now >= saga.deadline:
        return engine.interrupt(
            progress=progress, code=refusals.DEADLINE, detail="It took too long."
        )
    return None


def after(*, saga: InFlight, answer: Answer) -> Move:
    """The move that follows from the answer.

    A stop that was asked for before the pivot and came too late becomes the return: who was told
    that the saga will be undone finds it undone.
    """
    draw = random.random()  # noqa: S311 -- spreads retries over time, guards nothing
    move = engine.after(progress=saga.progress, answer=answer, draw=draw)
    if saga.stop_requested and move.status is SagaStatus.COMPLETED:
        return engine.give_back(
            progress=move.progress, code=refusals.STOPPED, detail=STOPPED, record=move.record
        )
    return move


def given_up(*, saga: InFlight, reason: str) -> Move:
    """The move that follows where the service itself has tried in vain, as often as is of use."""
    last = msgspec.structs.replace(saga.progress, faults=engine.TRIES - 1)
    return engine.after(progress=last, answer=Fault(reason), draw=0)


def park(unreadable: Unreadable) -> None:
    """Leaves a saga that nothing can be done with here to a person."""
    log.error("parked: %s", unreadable.reason, extra={"saga_id": unreadable.saga_id})
    points.reach("runner.before_park")
    store.park(unreadable=unreadable)
    points.reach("runner.parked")


class Tally:
    """Counts how sagas came to rest; tells of those that wait for a person now."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._lock = threading.Lock()

    def counters(self) -> dict[str, int]:
        return dict(self._counted)

    def count(self, written: Iterable[Step]) -> None:
        """Of moves that were written: those after which nothing is due for now."""
        for saga, move in written:
            if move.is_on_its_way:
                continue
            with self._lock:
                self._counted[f"sagas_{move.status}"] += 1
            if move.status is SagaStatus.PARKED:
                log.error(
                    "parked at %s: %s",
                    move.progress.step.name,
                    move.reason,
                    extra={"saga_id": saga.saga_id},
                )


tally = Tally()
"""Of this process."""


REST_SECONDS = 1.0
"""For sagas after a fault of our own."""
MOST_BUGS = 3
"""With one saga alone: a command that can't be made of its context."""


class Conductor:
    """`put_down`: called when a call was answered, with the seconds until the first of the sagas
    that have left its hands then is due again (None: none of them is).
    """

    def __init__(
        self, *, participants: Participants, put_down: Callable[[float | None], None]
    ) -> None:
        self._participants = participants
        self._put_down = put_down
        self._lanes: Lanes[Target, InFlight] = Lanes(work=self._work, at_exit=store.close)
        self._hands = Hands()
        self._batches = 0
        self._bugs: Counter[str] = Counter()

    @property
    def in_hand(self) -> list[str]:
        """The sagas that it is moving on."""
        return self._hands.saga_ids

    @property
    def crowded(self) -> list[Call]:
        """The calls for which it wants no further sagas now."""
        return self._hands.crowded()

    def counters(self) -> dict[str, int]:
        own = {"batches": self._batches, "sagas_in_hand": len(self._hands)}
        return {**own, **self._participants.counters()}

    def take_up(self, *, sagas: Sequence[InFlight]) -> None:
        """Moves these on, from the call that is due."""
        self._hands.take(sagas=sagas)
        lanes: dict[Target, list[InFlight]] = {}
        for saga in sagas:
            lanes.setdefault(target_of(progress=saga.progress), []).append(saga)
        for target, group in lanes.items():
            self._lanes.put(target, group)

    def rest(self, *, sagas: Sequence[InFlight]) -> None:
        """Has them claimed again in a moment: it is open what the database knows of them now."""
        self._hands.rest(sagas=sagas, seconds=REST_SECONDS)

    def after_bug(self, *, saga: InFlight, error: Exception) -> None:
        """Has it claimed again in a moment. One whose command can't be made, MOST_BUGS times, waits
        for a person: its page is wrong, and time mends nothing.
        """
        self._bugs[saga.saga_id] += isinstance(error, msgspec.ValidationError)
        if self._bugs[saga.saga_id] < MOST_BUGS:
            self.rest(sagas=[saga])
            return
        del self._bugs[saga.saga_id]
        reason = f"its call can't be made here: {error!r}"
        try:
            park(Unreadable(saga_id=saga.saga_id, version=saga.version, reason=reason))
        except (DatabaseError, InterfaceError):
            store.close()
            self.rest(sagas=[saga])

    def close(self, *, seconds: float) -> None:
        """Makes no further call; waits so long for those that are out."""
        self._lanes.close(seconds=seconds)

    def _work(self, target: Target, sagas: list[InFlight]) -> None:
        try:
            self._move_on(target, sagas)
        except (DatabaseError, InterfaceError) as error:
            log.warning("%d sagas at %s: %s; to be claimed again", len(sagas), target.path, error)
            store.close()
            self.rest(sagas=sagas)
            self._lay_down(sagas)
        except Exception as error:  # the outermost loop of a lane: no bug may end it for the others
            log.exception("%d sagas at %s", len(sagas), target.path)
            self._after_bug(target, sagas, error)

    def _after_bug(self, target: Target, sagas: list[InFlight], error: Exception) -> None:
        """Finds whose it is: the others go on. What has moved meanwhile is claimed again."""
        still = [saga for saga in sagas if target_of(progress=saga.progress) == target]
        if len(sagas) > 1 and len(still) == len(sagas):
            for saga in sagas:
                self._work(target, [saga])
            return
        for saga in sagas:
            self.after_bug(saga=saga, error=error)
        self._lay_down(sagas)

    def _move_on(self, target: Target, sagas: list[InFlight]) -> None:
        now = time.monotonic()
        moves: list[Step] = []
        due: list[InFlight] = []
        for saga in sagas:
            turned = turned_back(saga=saga, progress=saga.progress, now=now)
            if turned:
                moves.append((saga, turned))
            else:
                due.append(saga)
        if due:
            answers = self._participants.ask(target=target, sagas=due)
            moves += [
                (saga, after(saga=saga, answer=answer))
                for saga, answer in zip(due, answers, strict=True)
            ]
            _log_faults(target, answers)
        self._make(self._as_far_as_there_is_room(moves))
        self._batches += 1

    def _as_far_as_there_is_room(self, moves: Sequence[Step]) -> list[Step]:
        """Where too many wait for the next call, the saga is laid down: it is claimed again as soon
        as there are fewer.
        """
        going: Counter[Call] = Counter()
        made: list[Step] = []
        for saga, move in moves:
            call = call_of(progress=move.progress)
            if move.goes_on and call != call_of(progress=saga.progress):
                going[call] += 1
                if going[call] > self._hands.room(call=call):
                    move = msgspec.structs.replace(move, is_laid_down=True)
            made.append((saga, move))
        return made

    def _make(self, moves: Sequence[Step]) -> None:
        points.reach("conductor.before_record")
        written = store.record(moves=moves, is_in_hand=True)
        points.reach("conductor.recorded")
        onward: list[InFlight] = []
        down: list[InFlight] = []
        waits: list[float] = []
        for saga, move in moves:
            moved = written.get(saga.saga_id)
            if moved is not None and move.goes_on:
                saga.version += 1
                saga.context = saga.context_after(move)
                saga.progress = move.progress
                saga.entered = moved
                onward.append(saga)
                continue
            down.append(saga)
            if moved is not None:
                tally.count([(saga, move)])
                waits += [move.seconds] if move.is_on_its_way and not move.waits else []
            else:
                # A stop, say: what is written now is claimed, and found to be turned back.
                waits.append(0.0)
                log.info("moved by another since", extra={"saga_id": saga.saga_id})
        self.take_up(sagas=onward)
        self._hands.lay_down(sagas=down)
        self._put_down(min(waits, default=None))

    def _lay_down(self, sagas: Sequence[InFlight]) -> None:
        self._hands.lay_down(sagas=sagas)
        self._put_down(REST_SECONDS)


def _log_faults(target: Target, answers: Sequence[Answer]) -> None:
    faults = [answer for answer in answers if isinstance(answer, Fault)]
    if faults:
        log.warning("%d faults at %s, the first: %s", len(faults), target.path, faults[0].reason)
