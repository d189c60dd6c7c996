"""The workflow's activities, which threads of the worker run. The saga's row is written before each
call, so a saga is never further than its row says.

An activity may run twice (its worker died, its result was lost): the barrier answers the second
call like the first, and a row that was written stays as it is. An activity whose saga has gone on
without it makes no call. During a long call the worker sends heartbeats, so Temporal knows that a
worker has died before the call's own time is over.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

import msgspec
from django.db import DatabaseError, InterfaceError, connections
from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.saga import Context
from coordination.engine import CallResult, Fault, Postponed, Progress
from coordination.participants import Participants, endpoint_of
from messaging import wakeups
from participant import failpoints, metrics
from saga_temporal import store
from saga_temporal.workflow import CALL, WRITE, Answered, DueCall

T = TypeVar("T")
BEAT_SECONDS = 1.0
"""The period of heartbeats: well below the workflow's HEARTBEAT_SECONDS."""


class DueTransition(msgspec.Struct, frozen=True):
    progress: Progress
    context: Context


class Activities:
    """`threads`: as many as activities may run at once."""

    def __init__(self, *, participants: Participants, threads: Executor) -> None:
        self._participants, self._threads = participants, threads

    @activity.defn(name=CALL)
    async def call(self, given: dict[str, Any]) -> dict[str, Any]:
        """Writes where the saga stands, then calls the step. Returns an Answered."""
        return await self._in_thread(partial(self._call, given))

    @activity.defn(name=WRITE)
    async def write(self, row: dict[str, Any]) -> None:
        """Writes the row. Raises the database's errors: Temporal then retries the activity."""
        await self._in_thread(partial(self._write, row))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        given = asyncio.get_running_loop().run_in_executor(self._threads, work)
        while not (await asyncio.wait([given], timeout=BEAT_SECONDS))[0]:
            activity.heartbeat()
        return await given

    def _call(self, given: dict[str, Any]) -> dict[str, Any]:
        due = msgspec.convert(given, DueCall)
        if due.row is not None:
            self._write(due.row)
        progress = Progress(
            steps=[due.step], position=0, direction=due.direction, failure=due.failure
        )
        answer = self._asked(DueTransition(progress, due.context))
        if isinstance(answer, Fault):
            saga, pattern = due.context.saga, due.context.pattern
            metrics.count(metrics.FAULTS, saga, due.step.name, due.direction, pattern)
        failpoints.reach("temporal.before_answer")
        found: dict[str, Any] = msgspec.to_builtins(_answered(answer))
        return found

    def _write(self, row: dict[str, Any]) -> None:
        failpoints.reach("temporal.before_write")
        if not with_database(lambda: store.write(row)):
            raise ApplicationError("its saga has gone on without it", non_retryable=True)
        failpoints.reach("temporal.written")
        if row["ended"]:  # there is room for another saga
            wakeups.notify(service=store.SERVICE, channel=store.CHANNEL)

    def _asked(self, due: DueTransition) -> CallResult:
        """A command that can't be built is a fault: the definition is wrong, and the saga is
        parked.
        """
        try:
            return self._participants.ask(endpoint=endpoint_of(progress=due.progress), sagas=[due])[
                0
            ]
        except msgspec.ValidationError as error:
            return Fault(f"its call can't be made here: {error}")


def _answered(answer: CallResult) -> Answered:
    if isinstance(answer, Fault):
        return Answered(fault=answer.reason)
    return Answered(postponed=answer.seconds) if isinstance(answer, Postponed) else Answered(answer)


def with_database(work: Callable[[], T]) -> T:
    """Closes a connection that failed: the next statement makes a new one."""
    try:
        return work()
    except (DatabaseError, InterfaceError):
        connections[store.SERVICE].close()
        raise
