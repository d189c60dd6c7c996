"""The coordinators' stores in memory: a class for each, with the same functions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from checker.explorer.injection import BEGINNING, Clock
from checker.explorer.store import MemoryStore
from contracts.outcomes import Failure
from contracts.saga import Context, Direction, Saga, Step
from contracts.states import FINAL, SagaStatus
from coordination import engine
from coordination.engine import Progress, Transition
from saga_choreography.store import (
    Locked,
    PhaseChange,
    SagaPhase,
    Stop,
    TrackedEvent,
    Trails,
    Wait,
    WatchdogUpdate,
    WatchedSaga,
)
from saga_orchestrator.in_flight import Call, ClaimedSaga, ClaimedUnreadable, call_of
from saga_orchestrator.store import OVERDUE_SECONDS


class RunRow(NamedTuple):
    """Times in seconds since the beginning."""

    name: str
    context: Context
    steps: Sequence[Step]
    deadline_at: float
    started_at: float
    next_attempt_at: float | None
    status: SagaStatus = SagaStatus.PENDING
    position: int = 1
    direction: Direction = Direction.DO
    faults: int = 0
    failure: Failure | None = None
    reached: int = 0
    version: int = 0
    runner_id: int | None = None
    asked_at: float | None = None
    stop_requested: bool = False
    parked_reason: str = ""
    finished_at: float | None = None
    waiting_since: float | None = None

    @property
    def progress(self) -> Progress:
        return Progress(
            steps=self.steps,
            position=self.position,
            direction=self.direction,
            faults=self.faults,
            failure=self.failure,
            reached=self.reached,
        )


class SagaLog:
    """`saga_orchestrator.store`, without the log of the steps, which decides nothing. `silent`: the
    runners without a heartbeat.
    """

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.sagas = store.table("orchestrator.saga")
        self.silent: set[int] = set()

    def start(self, *, saga: Saga, contexts: Sequence[Context], seconds: float) -> list[str]:
        started = []
        for context in sorted(contexts, key=lambda context: context.saga_id):
            row = RunRow(
                name=saga.name,
                context=context,
                steps=saga.steps,
                deadline_at=self._clock.seconds + seconds,
                started_at=self._clock.stamp(),
                next_attempt_at=self._clock.seconds,
            )
            if self._store.insert_if_free(self.sagas, context.saga_id, row):
                started.append(context.saga_id)
        return started

    def claim(
        self, *, runner_id: int, limit: int, in_flight: Sequence[str] = (), but: Sequence[Call] = ()
    ) -> list[ClaimedSaga | ClaimedUnreadable]:
        claimed: list[ClaimedSaga | ClaimedUnreadable] = []
        for saga_id in self.due(runner_id=runner_id, in_flight=in_flight, but=but)[:limit]:
            row = self.sagas[saga_id]
            is_new, was_held = row.status is SagaStatus.PENDING, row.runner_id is not None
            row = row._replace(
                runner_id=runner_id,
                version=row.version + 1,
                status=SagaStatus.RUNNING if is_new else row.status,
            )
            self._store.write(self.sagas, saga_id, row)
            saga = self._in_flight(saga_id, row)
            if was_held:
                saga.progress = engine.in_doubt(progress=saga.progress)
            claimed.append(saga)
        return claimed

    def lock(self, *, saga_ids: Collection[str]) -> list[ClaimedSaga | ClaimedUnreadable]:
        found = [saga_id for saga_id in sorted(saga_ids) if saga_id in self.sagas]
        for saga_id in found:
            self._store.lock(self.sagas, saga_id)
        return [self._in_flight(saga_id, self.sagas[saga_id]) for saga_id in found]

    def record(
        self,
        *,
        transitions: Iterable[tuple[ClaimedSaga, Transition]],
        patience: Mapping[str, float] | None = None,
        is_in_flight: bool = False,
    ) -> dict[str, float]:
        waits = patience or {}
        return {
            saga.saga_id: self._move(saga, transition, waits.get(saga.saga_id), is_in_flight)
            for saga, transition in transitions
            if self.is_still(saga)
        }

    def park(self, *, unreadable: ClaimedUnreadable) -> None:
        """Nothing here is unreadable: it is a bug, and reported."""
        what = f"the runner parked {unreadable.saga_id}: {unreadable.reason}"
        self._store.write(self._store.table("parked"), self._store.next_id(), what)

    def request_stop(self, *, saga_id: str) -> None:
        row = self.sagas[saga_id]
        due = row.next_attempt_at
        sooner = None if due is None else min(due, self._clock.seconds)
        stopped = row._replace(stop_requested=True, next_attempt_at=sooner, version=row.version + 1)
        self._store.write(self.sagas, saga_id, stopped)

    def decided(self, *, steps: Iterable[tuple[str, str]]) -> int:
        woken_count = 0
        for saga_id, step in sorted(steps):
            row = self.sagas.get(saga_id)
            if row is None or row.next_attempt_at is None:
                continue
            if call_of(progress=row.progress) == (step, Direction.DO):
                due = min(row.next_attempt_at, self._clock.seconds)
                woken = row._replace(version=row.version + 1, next_attempt_at=due)
                self._store.write(self.sagas, saga_id, woken)
                woken_count += 1
        return woken_count

    def close(self) -> None:
        """There is no connection."""

    def is_still(self, saga: ClaimedSaga) -> bool:
        """The fence: whether the saga has not been moved since it was read."""
        row = self.sagas.get(saga.saga_id)
        return row is not None and row.version == saga.version

    def due(self, *, runner_id: int, in_flight: Sequence[str], but: Sequence[Call]) -> list[str]:
        """The sagas that this runner may claim now, by `store.CLAIMABLE`, the longest due first."""
        now = self._clock.seconds
        found = [
            (row.next_attempt_at, saga_id)
            for saga_id, row in self.sagas.items()
            if row.next_attempt_at is not None
            and row.next_attempt_at <= now
            and (
                row.runner_id is None
                or (
                    saga_id not in in_flight
                    if row.runner_id == runner_id
                    else row.runner_id in self.silent
                )
            )
            and call_of(progress=row.progress) not in but
            and not self._store.is_held(self.sagas, saga_id)
        ]
        return [saga_id for _, saga_id in sorted(found)]

    def _move(
        self, saga: ClaimedSaga, transition: Transition, patience: float | None, is_in_flight: bool
    ) -> float:
        row, there, now = self.sagas[saga.saga_id], transition.progress, self._clock.seconds
        seconds = transition.seconds if patience is None else patience
        has_ended, is_parked = transition.status in FINAL, transition.status is SagaStatus.PARKED
        due: float | None = min(row.next_attempt_at or now, now)
        if has_ended or is_parked:
            due = None
        elif transition.waits and transition.waits.until:
            due = max((transition.waits.until - BEGINNING).total_seconds(), now) + OVERDUE_SECONDS
        elif seconds > 0:
            due = now + seconds
        since, deadline_at = row.waiting_since, row.deadline_at
        if since is not None and not transition.waits:
            deadline_at += now - since
        moved = row._replace(
            context=saga.context_after(transition),
            status=transition.status,
            position=there.position,
            direction=there.direction,
            faults=there.faults,
            failure=there.failure,
            reached=there.reached,
            version=row.version + 1,
            runner_id=row.runner_id if transition.goes_on and is_in_flight else None,
            next_attempt_at=due,
            deadline_at=deadline_at,
            waiting_since=(now if since is None else since) if transition.waits else None,
            asked_at=now if patience is not None else None,
            parked_reason=transition.reason if is_parked else "",
            finished_at=self._clock.stamp() if has_ended else None,
        )
        self._store.write(self.sagas, saga.saga_id, moved)
        return now

    def _in_flight(self, saga_id: str, row: RunRow) -> ClaimedSaga:
        now = self._clock.seconds
        return ClaimedSaga(
            saga_id=saga_id,
            name=row.name,
            version=row.version,
            status=row.status,
            context=row.context,
            progress=row.progress,
            stop_requested=row.stop_requested,
            deadline=row.deadline_at - (now if row.waiting_since is None else row.waiting_since),
            entered=now,
            waited=None if row.asked_at is None else now - row.asked_at,
        )


class WatchedRow(NamedTuple):
    saga_id: str
    saga: str
    context: Context
    started_at: datetime
    phase: SagaPhase = SagaPhase.RUNNING
    status: str = "running"
    watch_at: datetime | None = None
    finished_at: datetime | None = None
    redrives: int = 0
    redriven_at: datetime | None = None
    stop_requested_at: datetime | None = None
    parked_step: str = ""
    parked_reason: str = ""
    wait: Wait | None = None

    @property
    def watched(self) -> WatchedSaga:
        return WatchedSaga(
            context=self.context,
            phase=self.phase,
            started_at=self.started_at,
            redrives=self.redrives,
            redriven_at=self.redriven_at,
            status=SagaStatus(self.status),
            is_stopped=self.stop_requested_at is not None,
            parked_step=self.parked_step,
            parked_reason=self.parked_reason,
            wait=self.wait,
        )


class Trail:
    """`saga_choreography.store`."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._interventions = store.table("interventions")
        self.sagas = store.table("choreography.saga")
        self.seen = store.table("choreography.seen")

    def now(self) -> datetime:
        return self._clock.now()

    def names(self, *, saga_ids: Iterable[str]) -> dict[str, str]:
        return {saga_id: self.sagas[saga_id].saga for saga_id in saga_ids if saga_id in self.sagas}

    def add_sagas(
        self, *, contexts: Sequence[Context], started_at: datetime, watch_at: datetime
    ) -> None:
        for context in sorted(contexts, key=lambda context: context.saga_id):
            row = WatchedRow(
                saga_id=context.saga_id,
                saga=context.saga,
                context=context,
                started_at=started_at,
                watch_at=watch_at,
            )
            self._store.insert_if_free(self.sagas, context.saga_id, row)

    def add_events(self, *, events: Sequence[TrackedEvent], watch_at: datetime) -> None:
        moved = {
            event.saga_id
            for event in events
            if self._store.insert_if_free(self.seen, (event.saga_id, event.event_type), event)
        }
        for saga_id in moved:
            row = self.sagas.get(saga_id)
            if row and (row.status == "parked" or (row.watch_at and row.watch_at > watch_at)):
                goes_on = row._replace(
                    status=_going_on(row),
                    parked_step="",
                    parked_reason="",
                    redrives=0,
                    watch_at=watch_at,
                )
                self._store.write(self.sagas, saga_id, goes_on)

    def lock_phases(self, *, saga_ids: Iterable[str]) -> dict[str, Locked]:
        phases = {}
        for saga_id in sorted(saga_ids):
            if saga_id in self.sagas:
                self._store.lock(self.sagas, saga_id)
                row = self.sagas[saga_id]
                phases[saga_id] = Locked(row.phase, row.stop_requested_at is not None)
        return phases

    def stop(self, *, saga_ids: Iterable[str], at: datetime) -> None:
        for saga_id in saga_ids:
            self._store.write(
                self.sagas, saga_id, self.sagas[saga_id]._replace(stop_requested_at=at)
            )

    def stops(self, *, saga_ids: Iterable[str]) -> dict[str, Stop]:
        wanted = set(saga_ids)
        return {
            intervention.saga_id: Stop(intervention.requested_by, intervention.reason)
            for intervention in self._interventions.values()
            if intervention.saga_id in wanted and intervention.action == "abort"
        }

    def change_phases(self, *, changes: Sequence[PhaseChange]) -> None:
        for saga in changes:
            row = self.sagas[saga.saga_id]._replace(
                phase=saga.phase,
                status=str(saga.status),
                finished_at=saga.finished_at,
                watch_at=saga.watch_at,
                redrives=0,
            )
            self._store.write(self.sagas, saga.saga_id, row)

    def claim_still(self, *, now: datetime, limit: int, only: str | None = None) -> list[str]:
        due = [
            row
            for row in self.sagas.values()
            if row.saga_id == (only or row.saga_id)
            and row.watch_at is not None
            and row.watch_at <= now
            and not self._store.is_held(self.sagas, row.saga_id)
        ]
        due.sort(key=lambda row: row.watch_at)
        return [row.saga_id for row in due[:limit]]

    def lock_watched(self, *, saga_ids: Iterable[str]) -> list[WatchedSaga]:
        found = [saga_id for saga_id in sorted(saga_ids) if saga_id in self.sagas]
        for saga_id in found:
            self._store.lock(self.sagas, saga_id)
        return [self.sagas[saga_id].watched for saga_id in found]

    def record(self, *, updates: Sequence[WatchdogUpdate]) -> None:
        for update in updates:
            row = self.sagas[update.saga_id]
            decided = row._replace(
                status=row.status if update.parked_at is None else "parked",
                watch_at=update.watch_at,
                redrives=update.redrives,
                redriven_at=update.redriven_at,
                parked_step=update.parked_step,
                parked_reason=update.parked_reason,
            )
            self._store.write(self.sagas, update.saga_id, decided)

    def leave_alone(self, *, waits: Mapping[str, Wait], watch_at: Mapping[str, datetime]) -> None:
        for saga_id, wait in waits.items():
            row = self.sagas[saga_id]
            left = row._replace(
                wait=wait,
                watch_at=watch_at[saga_id],
                redrives=0,
                status="running" if row.status == "parked" else row.status,
                parked_step="",
                parked_reason="",
            )
            self._store.write(self.sagas, saga_id, left)

    def of(self, *, saga_ids: Iterable[str]) -> Trails:
        trails: dict[str, list[TrackedEvent]] = {saga_id: [] for saga_id in saga_ids}
        for event in self.seen.values():
            if event.saga_id in trails:
                trails[event.saga_id].append(event)
        for trail in trails.values():
            trail.sort(key=lambda event: (event.occurred_at, event.seen_at))
        return trails


def _going_on(row: WatchedRow) -> str:
    if row.status != "parked":
        return row.status
    return "running" if row.phase is SagaPhase.RUNNING else "compensating"
