"""The backend of an environment in memory: tables instead of the SQL.

Everything above the SQL is real: reactions, `execute`, the barrier's rules, consumer, relay,
tracking, watchdog, runner, executor, engine. Here are a participant's tables, which behave, row by
row, like the SQL of `participant.barrier`, `messaging.outbox` and `messaging.failed`, and the
ledger of effects; the coordinators' tables are in `memory_of_coordinators`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from checker.explorer.injection import Clock, FaultInjection
from checker.explorer.sagas.backend import AskedDecision, Backend, Stage
from checker.explorer.sagas.memory_of_coordinators import SagaLog, Trail
from checker.explorer.sagas.memory_of_decisions import DecisionRow, Decisions
from checker.explorer.sagas.participants import Effect, Word
from checker.explorer.sagas.scenarios import SLACK_SECONDS, Scenario
from checker.explorer.store import MemoryStore, Table
from contracts import patterns, refusals
from contracts.events import Event, encode
from contracts.outcomes import Outcome, Refused, Waiting
from contracts.saga import Command, Direction
from messaging import consumer, failed, outbox
from messaging import reactions as appeals
from messaging.failed import Due, FailedDelivery
from messaging.outbox import Unsent
from participant import barrier, decisions, executing, sql
from participant.barrier import Key, key_of
from participant.models import BarrierStatus
from participant.operations import Operation
from saga_choreography import operations, reactions, store, tracking, watchdog
from saga_orchestrator import messages
from saga_orchestrator import operations as orchestration
from saga_orchestrator import store as saga_log
from saga_orchestrator.in_flight import Call

TRANSACTIONS = (
    executing,
    appeals,
    decisions,
    failed,
    tracking,
    watchdog,
    reactions,
    messages,
    orchestration,
)
_ABORTED = Refused(refusals.ABORTED, "This step was undone or blocked before it could happen.")
AFTER_READING = "after reading"
"""A failpoint of the transactions here: rows are locked and read, but not written."""


class BarrierRow(NamedTuple):
    """`outcome`: None only within the transaction that runs it."""

    outcome: Outcome | None


class MemoryBarrier:
    """A row's id is its key instead of a number. The barrier's rules are the real ones."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def take(
        self,
        operation: Operation,
        sagas: Mapping[Key, str],
        direction: Direction,
        status: BarrierStatus | None = None,
    ) -> dict[Key, Any]:
        taken, table = {}, self._table(operation)
        for key in sorted(sagas):
            row = BarrierRow(_ABORTED if status else None)
            if self._store.insert_if_free(table, (key, direction), row):
                taken[key] = (key, direction)
        return taken

    def stored(
        self, operation: Operation, keys: Collection[Key], direction: Direction
    ) -> dict[Key, Outcome]:
        table = self._table(operation)
        found = {key: table.get((key, direction)) for key in sorted(keys)}
        return {key: row.outcome for key, row in found.items() if row}

    def record(self, *, operation: Operation, outcomes: Mapping[Any, Outcome]) -> None:
        table = self._table(operation)
        for row_id, outcome in outcomes.items():
            self._store.write(table, row_id, BarrierRow(outcome))

    def forget(self, *, operation: Operation, commands: Sequence[Command]) -> None:
        table = self._table(operation)
        for command in commands:
            self._store.delete(table, (key_of(operation, command), operation.direction))

    def withdraw(self, operation: Operation, keys: Collection[Key]) -> set[Key]:
        found = self.lock_waiting(operation=operation, keys=keys)
        self.record(
            operation=operation, outcomes={row_id: _ABORTED for row_id, _ in found.values()}
        )
        return set(found)

    def lock_waiting(
        self, *, operation: Operation, keys: Collection[Key]
    ) -> dict[Key, tuple[Any, Waiting]]:
        table, found = self._table(operation), {}
        for key in sorted(keys):
            row = table.get((key, Direction.DO))
            if row and isinstance(row.outcome, Waiting):
                self._store.lock(table, (key, Direction.DO))
                found[key] = ((key, Direction.DO), row.outcome)
        return found

    def _table(self, operation: Operation) -> Table:
        return self._store.table("barrier." + operation.service)


class MemoryLedger:
    """A `participants.Ledger`."""

    def __init__(self, store: MemoryStore, clock: Clock, injection: FaultInjection) -> None:
        self._store = store
        self._clock = clock
        self._injection = injection
        self._effects = store.table("ledger")
        self._words = store.table("words")
        self._units = store.table("units")

    def lock_units(self, *, service: str) -> int:
        if service in self._units:
            self._store.lock(self._units, service)
        free: int = self._units.get(service, 0)
        self._injection.reached(AFTER_READING)
        return free

    def set_units(self, *, service: str, units: int) -> None:
        self._store.write(self._units, service, units)

    def add(self, *, service: str, effects: Sequence[Effect]) -> None:
        for effect in effects:
            times = (*self._effects.get(effect, ()), self._clock.stamp())
            self._store.write(self._effects, effect, times)

    def decided(self, *, service: str, words: Sequence[Word]) -> None:
        for word in words:
            self._store.write(self._words, self._store.next_id(), word)

    def effects(self) -> Mapping[Effect, Sequence[float]]:
        return self._effects

    def words(self) -> Sequence[Word]:
        return list(self._words.values())

    def units(self, *, service: str) -> int:
        units: int = self._units[service]
        return units


class MemoryOutbox:
    """Sent rows are deleted, as they are never read again."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def add(self, *, service: str, events: Sequence[Event]) -> None:
        table = self._store.table("outbox." + service)
        for event in events:
            row_id = self._store.next_id()
            row = Unsent(id=row_id, event_id=event.id, event_type=event.route, body=encode(event))
            self._store.write(table, row_id, row)

    def unsent(self, *, service: str, limit: int, among: frozenset[int]) -> list[Unsent]:
        """`among` is all partitions: each service has one relay here."""
        return list(self._store.table("outbox." + service).values())[:limit]

    def mark_sent(self, *, service: str, given: Mapping[int, datetime]) -> list[int]:
        table = self._store.table("outbox." + service)
        for row_id in given:
            self._store.delete(table, row_id)
        return list(given)

    def still_unsent(self, *, service: str, ids: Sequence[int]) -> list[int]:
        return [row_id for row_id in ids if row_id in self._store.table("outbox." + service)]


class MemoryFailed:
    """Messages that could not be handled, with the reason: a bug here, so none is retried."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.table = store.table("failed")

    def insert(self, *, service: str, failed: FailedDelivery, is_again: bool = True) -> None:
        what = f"{service} failed at {failed.message.type} of {failed.saga_id}: {failed.reason}"
        self._store.write(self.table, self._store.next_id(), what)

    def revive(self, *, service: str, failed: FailedDelivery) -> bool:
        return False

    def claim_due(self, *, service: str, limit: int) -> list[Due]:
        return []

    def retrying(self, *, service: str, event_ids: Sequence[str]) -> set[str]:
        return set()

    def close_dead_letters(self, *, service: str, event_ids: Sequence[str]) -> None:
        pass


class Tables:
    """All tables, the clock, and the fault injection."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.injection = FaultInjection(self.store.suspended)
        self.barrier = MemoryBarrier(self.store)
        self.ledger = MemoryLedger(self.store, self.clock, self.injection)
        self.outbox = MemoryOutbox(self.store)
        self.failed = MemoryFailed(self.store)
        self.decisions = Decisions(self.store, self.clock)
        self.trail = Trail(self.store, self.clock)
        self.sagalog = SagaLog(self.store, self.clock)
        self.interventions = self.store.table("interventions")


class MemoryBackend(Backend):
    """On tables in memory."""

    can_overlap = True

    def __init__(self, *, memory: Tables, stage: Stage, scenario: Scenario, pattern: str) -> None:
        super().__init__(stage=stage, scenario=scenario, pattern=pattern)
        self.silent = memory.sagalog.silent
        self._memory = memory
        self._outboxes = {
            service: memory.store.table("outbox." + service) for service in self.services
        }
        is_choreographed = pattern == patterns.CHOREOGRAPHED
        self._runs = memory.trail.sagas if is_choreographed else memory.sagalog.sagas

    def empty(self) -> None:
        self._memory.store.clear()

    def atomic(self, service: str) -> AbstractContextManager[None]:
        return self._memory.store.atomic(using=service)

    def unsent(self) -> list[str]:
        return [service for service, table in self._outboxes.items() if table]

    def is_claimable(self, *, runner: int, in_flight: Sequence[str], but: Sequence[Call]) -> bool:
        return bool(self._memory.sagalog.due(runner_id=runner, in_flight=in_flight, but=but))

    def seconds_until_due(self) -> float:
        rows = self._memory.sagalog.sagas.values()
        dues = [row.next_attempt_at for row in rows if row.next_attempt_at is not None]
        return SLACK_SECONDS + max(0.0, min(dues, default=0.0) - self._memory.clock.seconds)

    def decisions(self) -> list[AskedDecision]:
        found = []
        for service in self.deciding:
            entries = self._memory.store.table("barrier." + service)
            for key, row in self._memory.decisions.table(service).items():
                entry = entries.get((key, Direction.DO))
                is_waiting = entry is not None and isinstance(entry.outcome, Waiting)
                found.append(_decision(service, row, is_waiting))
        return found

    def named_times(self) -> set[str]:
        if self.pattern == patterns.CHOREOGRAPHED:
            watched = self._memory.trail.sagas
            return {saga_id for saga_id, row in watched.items() if row.watch_at is not None}
        moving = self._memory.sagalog.sagas
        return {saga_id for saga_id, row in moving.items() if row.next_attempt_at is not None}

    def seconds_until_looked_at(self) -> float:
        rows = self._memory.trail.sagas.values()
        dues = [row.watch_at for row in rows if row.watch_at is not None]
        return (min(dues) - self.now()).total_seconds() if dues else 0.0

    def runs(self) -> Mapping[str, str]:
        return {saga_id: row.status for saga_id, row in self._runs.items()}

    def dead_letters(self) -> list[str]:
        return list(self._memory.failed.table.values())


def _decision(service: str, row: DecisionRow, is_waiting: bool) -> AskedDecision:
    return AskedDecision(
        saga_id=row.saga_id,
        step=row.step,
        service=service,
        action=row.action,
        decided_by=row.decided_by,
        until=row.until,
        verdict=row.verdict,
        is_closed=row.closed_at is not None,
        is_untold=row.closed_at is not None and row.is_to_be_told,
        is_waiting=is_waiting,
    )


def functions(memory: Tables) -> Iterator[tuple[ModuleType, str, Any]]:
    """Each function with SQL: its module, its name, its replacement."""
    for module, rows in (
        (outbox, memory.outbox),
        (failed, memory.failed),
        (decisions, memory.decisions),
        (store, memory.trail),
        (saga_log, memory.sagalog),
    ):
        for name in vars(type(rows)):
            if not name.startswith("_") and hasattr(module, name):
                yield module, name, getattr(rows, name)
    yield barrier, "_take", memory.barrier.take
    yield barrier, "_stored", memory.barrier.stored
    yield barrier, "_withdraw", memory.barrier.withdraw
    yield barrier, "lock_waiting", memory.barrier.lock_waiting
    yield barrier, "record", memory.barrier.record
    yield barrier, "forget", memory.barrier.forget
    yield decisions, "_read", memory.decisions.read
    yield decisions, "_close", memory.decisions.close
    yield sql, "now", memory.decisions.now


def stand_ins(memory: Tables) -> Iterator[tuple[Any, str, Any]]:
    """With these (`backend.patched`) all services work on `memory`. Once at a time per process."""
    yield from functions(memory)
    transaction = SimpleNamespace(atomic=memory.store.atomic, on_commit=lambda notify, using: None)
    for module in TRANSACTIONS:
        yield module, "transaction", transaction
    always_there = SimpleNamespace(is_usable=lambda: True)
    yield consumer, "connections", defaultdict(lambda: always_there)
    for module in (orchestration, operations, tracking):
        yield module, "Intervention", _Interventions(memory)


class _Interventions:
    """The part of the model that `ask` uses."""

    def __init__(self, memory: Tables) -> None:
        self._memory = memory
        self.objects = self

    def __call__(self, **fields: Any) -> SimpleNamespace:
        return SimpleNamespace(**fields)

    def create(self, *, saga_id: str, action: str, **fields: Any) -> None:
        self.bulk_create([SimpleNamespace(saga_id=saga_id, action=action, **fields)])

    def bulk_create(self, made: list[SimpleNamespace]) -> None:
        for intervention in made:
            key = self._memory.store.next_id()
            self._memory.store.write(self._memory.interventions, key, intervention)
