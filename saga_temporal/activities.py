"""What the workflow has others do: each call by a thread of the worker. Before a call it is written
where the saga stands, so a saga is never further than its row says.

An activity may run twice (its worker died, its answer was lost): the barrier answers the second
call as the first, and a row that was written stays as it is. One whose saga has gone on without it
calls nobody. While a call takes long its worker tells Temporal that it is at it, so one that died
is known to be dead before the call's own time is over.
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
TELL_SECONDS = 1.0
"""How often Temporal is told that an activity goes on: well below its HEARTBEAT_SECONDS."""


class Due(msgspec.Struct, frozen=True):
    progress: Progress
    context: Context


class Activities:
    """`threads`: as many as there are activities at once."""

    def __init__(self, *, participants: Participants, threads: Executor) -> None:
        self._participants, self._threads = participants, threads

    @activity.defn(name=CALL)
    async def call(self, given: dict[str, Any]) -> dict[str, Any]:
        """Writes where the saga stands, then asks for the step. An Answered."""
        return await self._in_thread(partial(self._call, given))

    @activity.defn(name=WRITE)
    async def write(self, row: dict[str, Any]) -> None:
        """Raises what keeps the database from it: the activity is then tried again."""
        await self._in_thread(partial(self._write, row))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        given = asyncio.get_running_loop().run_in_executor(self._threads, work)
        while not (await asyncio.wait([given], timeout=TELL_SECONDS))[0]:
            activity.heartbeat()
        return await given

    def _call(self, given: dict[str, Any]) -> dict[str, Any]:
        due = msgspec.convert(given, DueCall)
        if due.row is not None:
            self._write(due.row)
        progress = Progress(
            steps=[due.step], position=0, direction=due.direction, failure=due.failure
        )
        answer = self._asked(Due(progress, due.context))
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
        if row["ended"]:  # there is room for another one
            wakeups.notify(service=store.SERVICE, channel=store.CHANNEL)

    def _asked(self, due: Due) -> CallResult:
        """A command that can't be made is a fault: its page is wrong, and a person is to see it."""
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
    """A connection that failed is thrown away: the next one is new."""
    try:
        return work()
    except (DatabaseError, InterfaceError):
        connections[store.SERVICE].close()
        raise
