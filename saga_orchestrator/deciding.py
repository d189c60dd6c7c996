"""What follows for a saga in flight: the engine's moves, given the time and chance of this moment.

The same for both transports: `conductor` (calls over HTTP) and `requesting` (calls as messages).
"""

import logging
import random
import threading
from collections import Counter
from collections.abc import Iterable

import msgspec

from contracts import refusals
from contracts.statuses import SagaStatus
from participant import points
from saga_orchestrator import engine, sagalog
from saga_orchestrator.moves import Answer, Fault, Move, Progress
from saga_orchestrator.sagalog import InFlight, Unreadable

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
    sagalog.park(unreadable=unreadable)
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
