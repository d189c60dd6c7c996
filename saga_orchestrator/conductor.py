"""The conductor: moves the sagas in its hands on until they end, wait or are parked.

    lane -> one call for the batch -> the moves that follow, in one statement -> the next lane

A move is written before the next call is made, so the process may die anywhere: the saga is then
found at the call that was due, and that is made again under the same key.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from django.db import DatabaseError, InterfaceError

from contracts import refusals
from contracts.statuses import SagaStatus
from saga_orchestrator import engine, sagalog
from saga_orchestrator.lanes import Lanes
from saga_orchestrator.moves import Answer, Fault, Move
from saga_orchestrator.participants import Participants, Target, target_of
from saga_orchestrator.sagalog import InFlight

log = logging.getLogger(__name__)


class Conductor:
    """`put_down`: called when sagas have left its hands, with the seconds until the first of
    them is due again (None: none of them is). `let_go`: called when some have left them without
    its knowing what is written of them; they still belong to the runner.
    """

    def __init__(
        self,
        *,
        participants: Participants,
        put_down: Callable[[float | None], None],
        let_go: Callable[[], None],
    ) -> None:
        self._participants = participants
        self._put_down = put_down
        self._let_go = let_go
        self._lanes: Lanes[Target, InFlight] = Lanes(work=self._work, at_exit=sagalog.close)
        self._lock = threading.Lock()
        self._in_hand: set[str] = set()
        self._counters: Counter[str] = Counter()

    @property
    def in_hand(self) -> list[str]:
        """The sagas that it is moving on."""
        with self._lock:
            return list(self._in_hand)

    def counters(self) -> dict[str, int]:
        in_hand = {"sagas_in_hand": len(self._in_hand)}
        return {**self._counters, **self._participants.counters(), **in_hand}

    def take_up(self, *, sagas: Sequence[InFlight]) -> None:
        """Moves these on, from the call that is due."""
        with self._lock:
            self._in_hand.update(saga.saga_id for saga in sagas)
        self._to_lanes(sagas)

    def close(self, *, seconds: float) -> None:
        """Makes no further call; waits so long for those that are out."""
        self._lanes.close(seconds=seconds)

    def _work(self, target: Target, sagas: list[InFlight]) -> None:
        try:
            self._move_on(target, sagas)
        except (DatabaseError, InterfaceError) as error:
            log.warning("%d sagas at %s: %s; to be claimed again", len(sagas), target.path, error)
            sagalog.close()
            self._drop(sagas)
        except Exception:  # the outermost loop of a lane: a bug must not end it for all the others
            log.exception("%d sagas at %s; to be claimed again", len(sagas), target.path)
            self._drop(sagas)

    def _move_on(self, target: Target, sagas: list[InFlight]) -> None:
        now = time.monotonic()
        moves: list[tuple[InFlight, Move]] = []
        due: list[InFlight] = []
        for saga in sagas:
            turned = _turned_back(saga, now)
            if turned:
                moves.append((saga, turned))
            else:
                due.append(saga)
        if due:
            answers = self._participants.ask(target=target, sagas=due)
            moves += [
                (saga, _after(saga, answer)) for saga, answer in zip(due, answers, strict=True)
            ]
            _log_faults(target, answers)
        self._make(moves)
        self._counters["batches"] += 1

    def _make(self, moves: Sequence[tuple[InFlight, Move]]) -> None:
        written = sagalog.record(moves=moves)
        onward: list[InFlight] = []
        down: list[InFlight] = []
        waits: list[float] = []
        for saga, move in moves:
            moved = written.get(saga.saga_id)
            if moved and move.goes_on:
                saga.version += 1
                saga.progress = move.progress
                saga.stop_requested = moved.stop_requested
                saga.entered = moved.entered
                onward.append(saga)
                continue
            down.append(saga)
            if moved:
                self._count(saga, move)
                waits += [move.seconds] if move.seconds else []
            else:
                log.info("moved by another since", extra={"saga_id": saga.saga_id})
        self._to_lanes(onward)
        self._lay_down(down)
        if down:
            self._put_down(min(waits, default=None))

    def _to_lanes(self, sagas: Sequence[InFlight]) -> None:
        lanes: dict[Target, list[InFlight]] = {}
        for saga in sagas:
            lanes.setdefault(target_of(progress=saga.progress), []).append(saga)
        for target, group in lanes.items():
            self._lanes.put(target, group)

    def _count(self, saga: InFlight, move: Move) -> None:
        if not move.seconds:
            self._counters[f"sagas_{move.status}"] += 1
        if move.status is SagaStatus.PARKED:
            log.error(
                "parked at %s: %s",
                move.progress.step.name,
                move.reason,
                extra={"saga_id": saga.saga_id},
            )

    def _drop(self, sagas: Sequence[InFlight]) -> None:
        self._lay_down(sagas)
        self._let_go()

    def _lay_down(self, sagas: Sequence[InFlight]) -> None:
        with self._lock:
            self._in_hand.difference_update(saga.saga_id for saga in sagas)


def _turned_back(saga: InFlight, now: float) -> Move | None:
    if saga.stop_requested:
        return engine.interrupt(
            progress=saga.progress, code=refusals.STOPPED, detail="A stop was asked for."
        )
    if now >= saga.deadline:
        return engine.interrupt(
            progress=saga.progress, code=refusals.DEADLINE, detail="It took too long."
        )
    return None


def _after(saga: InFlight, answer: Answer) -> Move:
    draw = random.random()  # noqa: S311 -- spreads retries over time, guards nothing
    return engine.after(progress=saga.progress, answer=answer, draw=draw)


def _log_faults(target: Target, answers: Sequence[Answer]) -> None:
    faults = [answer for answer in answers if isinstance(answer, Fault)]
    if faults:
        log.warning("%d faults at %s, the first: %s", len(faults), target.path, faults[0].reason)
