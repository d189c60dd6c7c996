"""`saga_choreography.store` in memory."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from checker.explorer.clock import Clock
from checker.explorer.store import Store
from contracts.context import Context
from contracts.states import SagaStatus
from saga_choreography.store import (
    Locked,
    Seen,
    Settled,
    Stage,
    Stop,
    Trails,
    Verdict,
    Watched,
)


class SagaRow(NamedTuple):
    saga_id: str
    saga: str
    context: Context
    started_at: datetime
    stage: Stage = Stage.RUNNING
    status: str = "running"
    watch_at: datetime | None = None
    finished_at: datetime | None = None
    nudges: int = 0
    nudged_at: datetime | None = None
    stop_requested_at: datetime | None = None
    parked_step: str = ""
    parked_reason: str = ""


class Trail:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._interventions = store.table("interventions")
        self.sagas = store.table("choreography.saga")
        self.seen = store.table("choreography.seen")

    def now(self) -> datetime:
        return self._clock.now()

    def names(self, *, saga_ids: Iterable[str]) -> dict[str, str]:
        return {one: self.sagas[one].saga for one in saga_ids if one in self.sagas}

    def add_sagas(
        self, *, contexts: Sequence[Context], started_at: datetime, watch_at: datetime
    ) -> None:
        for context in sorted(contexts, key=lambda one: one.saga_id):
            row = SagaRow(
                saga_id=context.saga_id,
                saga=context.saga,
                context=context,
                started_at=started_at,
                watch_at=watch_at,
            )
            self._store.insert_if_free(self.sagas, context.saga_id, row)

    def add_seen(self, *, seen: Sequence[Seen], watch_at: datetime) -> None:
        moved = {one.saga_id for one in seen if self._see(one)}
        for saga_id in moved:
            row = self.sagas.get(saga_id)
            if row and row.status == "parked":
                goes_on = row._replace(
                    status="running" if row.stage is Stage.RUNNING else "compensating",
                    parked_step="",
                    parked_reason="",
                    nudges=0,
                    watch_at=watch_at,
                )
                self._store.write(self.sagas, saga_id, goes_on)

    def lock_stages(self, *, saga_ids: Iterable[str]) -> dict[str, Locked]:
        stages = {}
        for saga_id in sorted(saga_ids):
            if saga_id in self.sagas:
                self._store.lock(self.sagas, saga_id)
                row = self.sagas[saga_id]
                stages[saga_id] = Locked(row.stage, row.stop_requested_at is not None)
        return stages

    def stop(self, *, saga_ids: Iterable[str], at: datetime) -> None:
        for one in saga_ids:
            self._store.write(self.sagas, one, self.sagas[one]._replace(stop_requested_at=at))

    def stops(self, *, saga_ids: Iterable[str]) -> dict[str, Stop]:
        wanted = set(saga_ids)
        return {
            one.saga_id: Stop(one.requested_by, one.reason)
            for one in self._interventions.values()
            if one.saga_id in wanted and one.action == "abort"
        }

    def settle(self, *, settled: Sequence[Settled]) -> None:
        for one in settled:
            row = self.sagas[one.saga_id]._replace(
                stage=one.stage,
                status=str(one.status),
                finished_at=one.finished_at,
                watch_at=one.watch_at,
                nudges=0,
            )
            self._store.write(self.sagas, one.saga_id, row)

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

    def lock_watched(self, *, saga_ids: Iterable[str]) -> list[Watched]:
        found = [one for one in sorted(saga_ids) if one in self.sagas]
        for saga_id in found:
            self._store.lock(self.sagas, saga_id)
        return [_watched(self.sagas[one]) for one in found]

    def record(self, *, verdicts: Sequence[Verdict]) -> None:
        for one in verdicts:
            row = self.sagas[one.saga_id]
            status = row.status if one.parked_at is None else "parked"
            self._store.write(
                self.sagas,
                one.saga_id,
                row._replace(
                    status=status,
                    watch_at=one.watch_at,
                    nudges=one.nudges,
                    nudged_at=one.nudged_at,
                    parked_step=one.parked_step,
                    parked_reason=one.parked_reason,
                ),
            )

    def of(self, *, saga_ids: Iterable[str]) -> Trails:
        trails: dict[str, list[Seen]] = {saga_id: [] for saga_id in saga_ids}
        for one in self.seen.values():
            if one.saga_id in trails:
                trails[one.saga_id].append(one)
        for trail in trails.values():
            trail.sort(key=lambda one: (one.occurred_at, one.seen_at))
        return trails

    def _see(self, one: Seen) -> bool:
        return self._store.insert_if_free(self.seen, (one.saga_id, one.event_type), one)


def _watched(row: SagaRow) -> Watched:
    return Watched(
        context=row.context,
        stage=row.stage,
        started_at=row.started_at,
        nudges=row.nudges,
        nudged_at=row.nudged_at,
        status=SagaStatus(row.status),
        is_stopped=row.stop_requested_at is not None,
        parked_step=row.parked_step,
        parked_reason=row.parked_reason,
    )
