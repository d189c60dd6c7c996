"""Puts the tables in memory in the place of the SQL, for as long as it is wanted.

Everything above the SQL stays the real thing: reactions, `perform`, the barrier's rules, consumer,
relay, tracking, watchdog, runner, conductor, engine.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from checker.explorer.clock import Clock, NoChance
from checker.explorer.sagas.memory.sagalog import SagaLog
from checker.explorer.sagas.memory.tables import Barrier, Ledger, Outbox, Parked
from checker.explorer.sagas.memory.trail import Trail
from checker.explorer.store import Store
from messaging import consumer, outbox, parked, parking
from participant import barrier, performing
from saga_choreography import operations, store, tracking, watchdog
from saga_orchestrator import messages
from saga_orchestrator import operations as orchestration
from saga_orchestrator import store as saga_log

TRANSACTIONS = (
    *(performing, parking),
    *(tracking, watchdog),
    *(messages, orchestration),
)


class Memory:
    """The tables, by whose they are, and the time they live in."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = Store()
        self.barrier = Barrier(self.store)
        self.ledger = Ledger(self.store, self.clock)
        self.outbox = Outbox(self.store)
        self.parked = Parked(self.store)
        self.trail = Trail(self.store, self.clock)
        self.sagalog = SagaLog(self.store, self.clock)
        self.interventions = self.store.table("interventions")

    def clear(self) -> None:
        self.store.clear()
        self.sagalog.silent.clear()
        self.clock.reset()


@contextmanager
def installed(memory: Memory) -> Iterator[None]:
    """Within the block all services work on `memory`. One at a time in a process."""
    with ExitStack() as stack:
        for module, name, stand_in in _stand_ins(memory):
            stack.enter_context(patch.object(module, name, stand_in))
        yield


def functions(memory: Memory) -> Iterator[tuple[ModuleType, str, Any]]:
    """Each function of SQL that is replaced: its module, its name, what does it here."""
    for module, rows in (
        (outbox, memory.outbox),
        (parked, memory.parked),
        (store, memory.trail),
        (saga_log, memory.sagalog),
    ):
        for name in vars(type(rows)):
            if not name.startswith("_") and hasattr(module, name):
                yield module, name, getattr(rows, name)
    yield barrier, "_take", memory.barrier.take
    yield barrier, "_stored", memory.barrier.stored
    yield barrier, "record", memory.barrier.record
    yield barrier, "forget", memory.barrier.forget


def _stand_ins(memory: Memory) -> Iterator[tuple[Any, str, Any]]:
    yield from functions(memory)
    transaction = SimpleNamespace(atomic=memory.store.atomic, on_commit=lambda ring, using: None)
    for module in TRANSACTIONS:
        yield module, "transaction", transaction
    yield orchestration, "Intervention", _Interventions(memory)
    yield consumer, "connections", _Connections()
    for module in (operations, tracking):
        yield module, "Intervention", _Interventions(memory)


class _Connections:
    """The database of each service: always there."""

    def __getitem__(self, service: str) -> "_Connections":
        return self

    def is_usable(self) -> bool:
        return True


class _Interventions:
    """As much of the model as `ask` asks of it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.objects = self

    def __call__(self, **fields: Any) -> SimpleNamespace:
        return SimpleNamespace(**fields)

    def create(self, *, saga_id: str, action: str, **fields: Any) -> None:
        self.bulk_create([SimpleNamespace(saga_id=saga_id, action=action, **fields)])

    def bulk_create(self, made: list[SimpleNamespace]) -> None:
        for one in made:
            key = self._memory.store.next_id()
            self._memory.store.write(self._memory.interventions, key, one)


__all__ = ["Memory", "NoChance", "installed"]
