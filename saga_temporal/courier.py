"""The courier: passes the rows that the doors have written on to Temporal: sagas to begin,
decisions and interventions. Each is sent until it is marked as sent; Temporal and the workflow take
it once.

The workflow's id is the saga's, so a workflow that runs or has run is not begun again. A saga whose
workflow Temporal does not know (its server has lost it, or it has ended) is begun from its row, if
something is left to do. So is a stalled saga, whose workflow is terminated: a server that was
killed may have lost the task that would move it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from contracts.outcomes import Failure
from contracts.saga import Context, Direction, Step
from contracts.states import FINAL, SagaStatus
from participant import failpoints
from saga_temporal import store
from saga_temporal.activities import with_database
from saga_temporal.store import AskedOf, StoredSaga
from saga_temporal.workflow import NAME, QUEUE, RequestedIntervention, WorkflowState

log = logging.getLogger(__name__)

T = TypeVar("T")
AT_ONCE = 100
MOST_RUNNING = 50
"""Sagas that run on Temporal, without waiting and parked sagas. Further sagas wait in their rows:
an overloaded server spends its time on attempts that are too late.
"""
LOST_SECONDS = 45.0
"""A saga whose row was not written for so long, while Temporal answered, is begun anew. That is
longer than a call, its repetition on another worker and the pauses between (`workflow`).
"""
TASK_TIMEOUT = timedelta(seconds=5)
"""A worker that has not completed a workflow task for so long is taken for dead."""


class Courier:
    """`threads`: for the database's statements."""

    def __init__(self, *, client: Client, threads: Executor) -> None:
        self._client, self._threads = client, threads
        self._lost_at = time.monotonic() + LOST_SECONDS
        self.begun = self.sent = 0

    async def send_all(self) -> bool:
        """Sends what is due, at most AT_ONCE of each kind; returns whether more may be due. Raises
        RPCError if Temporal can't be reached.
        """
        try:
            sent = await self._send_interventions()
            decided = await self._send_decisions()
            begun = await self._begin_all()
            if time.monotonic() > self._lost_at:
                await self._begin_lost()
        except Exception:
            self._lost_at = time.monotonic() + LOST_SECONDS  # nothing moves meanwhile
            raise
        return max(begun, sent, decided) == AT_ONCE

    async def _begin_all(self) -> int:
        found = await self._in_thread(partial(store.not_begun, limit=AT_ONCE, most=MOST_RUNNING))
        if found:
            ended = await asyncio.gather(*map(self._begin, found), return_exceptions=True)
            paired = zip(found, ended, strict=True)
            begun = [saga.saga_id for saga, error in paired if error is None]
            await self._in_thread(partial(_mark_begun, begun))
            self.begun += len(begun)
            _raise_first(ended)
        return len(found)

    async def _begin_lost(self) -> None:
        """Begins stalled sagas anew."""
        find = partial(store.take_lost, limit=AT_ONCE, seconds=LOST_SECONDS)
        for saga in await self._in_thread(find):
            log.warning("saga %s stalls on Temporal: begun anew from its row", saga.saga_id)
            asked = await self._in_thread(partial(store.asked_before, saga))
            await self._begin(saga, asked, is_anew=True)

    async def _begin(
        self, saga: StoredSaga, asked: AskedOf | None = None, *, is_anew: bool = False
    ) -> None:
        """`asked`: the intervention for which a past saga begins again. `is_anew`: terminates what
        runs.
        """
        is_first = asked is None and not is_anew
        reuse, conflict = WorkflowIDReusePolicy, WorkflowIDConflictPolicy
        try:
            await self._client.start_workflow(
                NAME,
                _state_of(saga, asked),
                id=saga.saga_id,
                task_queue=QUEUE,
                id_reuse_policy=reuse.REJECT_DUPLICATE if is_first else reuse.ALLOW_DUPLICATE,
                id_conflict_policy=conflict.TERMINATE_EXISTING
                if is_anew
                else conflict.USE_EXISTING,
                task_timeout=TASK_TIMEOUT,
                # The worker is in this process, and gets the first task with the answer.
                request_eager_start=is_first,
            )
        except WorkflowAlreadyStartedError:
            return

    async def _send_interventions(self) -> int:
        """Sends interventions, in the order in which they were requested."""
        found = await self._in_thread(partial(store.not_told, limit=AT_ONCE))
        for asked in found:
            message = RequestedIntervention(asked.id, asked.action, asked.reason, asked.version)
            if not await self._signal(asked.saga_id, "asked", msgspec.to_builtins(message)):
                saga = await self._in_thread(partial(store.find, asked.saga_id))
                if saga and (saga.status not in FINAL or saga.status == SagaStatus.COMPLETED):
                    await self._begin(saga, asked)
            await self._in_thread(partial(_mark_sent, asked))
            self.sent += 1
        return len(found)

    async def _send_decisions(self) -> int:
        found = await self._in_thread(partial(store.decisions, limit=AT_ONCE))
        for saga_id, step in found:
            await self._signal(saga_id, "decided", step)
        if found:
            await self._in_thread(partial(_mark_decided, found))
        return len(found)

    async def _signal(self, saga_id: str, name: str, given: Any) -> bool:
        """Sends a signal; returns whether the saga's workflow runs."""
        try:
            await self._client.get_workflow_handle(saga_id).signal(name, given)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(with_database, work))


def _mark_begun(saga_ids: list[str]) -> None:
    failpoints.reach("temporal.begun")
    store.mark_begun(saga_ids)
    failpoints.reach("temporal.marked_begun")


def _mark_sent(asked: AskedOf) -> None:
    failpoints.reach("temporal.told")
    store.mark_told([asked.id])
    failpoints.reach("temporal.marked_told")


def _mark_decided(steps: list[tuple[str, str]]) -> None:
    failpoints.reach("temporal.told_decided")
    store.mark_decided(steps)
    failpoints.reach("temporal.marked_decided")


def _raise_first(ended: Iterable[BaseException | None]) -> None:
    for error in ended:
        if isinstance(error, BaseException):
            raise error


def _state_of(saga: StoredSaga, asked: AskedOf | None) -> dict[str, Any]:
    failure = Failure(
        saga.failure_step, saga.failure_code, saga.failure_detail, saga.failure_undone
    )
    state = WorkflowState(
        context=msgspec.json.decode(saga.context, type=Context),
        steps=msgspec.json.decode(saga.steps, type=tuple[Step, ...]),
        seconds=saga.seconds,
        version=saga.version,
        position=saga.position,
        direction=Direction(saga.direction),
        failure=failure if saga.failure_code else None,
        is_stopped=saga.is_stopped,
        asked=[RequestedIntervention(asked.id, asked.action, asked.reason, saga.version)]
        if asked
        else [],
    )
    found: dict[str, Any] = msgspec.to_builtins(state)
    return found
