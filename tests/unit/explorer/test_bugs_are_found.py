"""Bugs put into the real code, one at a time: the explorer must find each with a short schedule."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from catalogue import SAGAS
from checker.explorer.exploring import Explorer, FailingSchedule
from checker.explorer.sagas.environments import in_memory
from checker.explorer.sagas.memory_of_coordinators import SagaLog
from checker.explorer.sagas.participants import ScriptedParticipants
from checker.explorer.scheduling import GivenChoices, Player
from checker.explorer.store import MemoryStore
from contracts import patterns, projection
from contracts.outcomes import NOTHING_TO_UNDO
from contracts.patterns import PATTERNS
from contracts.saga import Direction
from coordination import engine
from messaging import outbox
from messaging.brokers import Message
from messaging.consumer import Consumer
from messaging.handlers import EventHandler
from messaging.relay import Relay
from participant import barrier
from participant.barrier import Entered, key_of
from saga_choreography import operations, tracking, watchdog

pytestmark = pytest.mark.timeout(3_600)  # these are last in line for a busy machine's cores
Patch = Callable[..., None]
SCHEDULES = 2_000
SAGA = "checkout"
"""Any saga would do: the bugs are in shared code."""


def nothing(patch: Patch) -> None:
    """The control."""


def barrier_off(patch: Patch) -> None:
    def enter(*, operation, commands):
        keys = [key_of(operation, command) for command in commands]
        return Entered(
            fresh={key: (key, operation.direction) for key in keys}, settled={}, known={}
        )

    patch(barrier, "enter", enter)


def undo_does_not_block(patch: Patch) -> None:
    def enter_undo(operation, sagas):
        first = barrier._take(operation, sagas, Direction.UNDO)
        done = barrier._stored(operation, list(first), Direction.DO)
        fresh = {entry: key for entry, key in first.items() if entry in done}
        nothing = {entry: key for entry, key in first.items() if entry not in done}
        barrier.record(
            operation=operation,
            outcomes=dict.fromkeys(nothing.values(), NOTHING_TO_UNDO),
        )
        known = barrier._stored(operation, sagas.keys() - first, Direction.UNDO)
        settled = dict.fromkeys(nothing, NOTHING_TO_UNDO)
        return Entered(fresh=fresh, settled=settled, known=known)

    patch(barrier, "_enter_undo", enter_undo)


def ack_before_commit(patch: Patch) -> None:
    def take_and_handle(self, subscription):
        deliveries = subscription.take(limit=100, timeout=0)
        subscription.ack(deliveries)
        self.handle(deliveries)

    patch(Consumer, "_take_and_handle", take_and_handle)


def sent_before_published(patch: Patch) -> None:
    def send(self, rows):
        now = datetime.now(UTC)
        outbox.mark_sent(service=self.service, given={row.id: now for row in rows})
        self.broker.publish([Message(row.event_id, row.event_type, row.body) for row in rows])
        return len(rows)

    patch(Relay, "_send", send)


def redrive_lost(patch: Patch) -> None:
    patch(watchdog, "_redrive", lambda sagas, trails, now: None)


def redrive_not_answered(patch: Patch) -> None:
    handle = EventHandler.handle

    def deaf(self, events):
        handle(self, [event for event in events if not event.redrive])

    patch(EventHandler, "handle", deaf)


def lost_start_forgotten(patch: Patch) -> None:
    """Only the owner knows a saga whose first event was lost."""
    patch(operations, "get_to_know", lambda contexts: None)


def late_abort_forgotten(patch: Patch) -> None:
    """A saga whose undoing was confirmed completes."""
    patch(tracking, "_return", lambda completed, now: None)


def no_lock_on_units(patch: Patch) -> None:
    lock = MemoryStore.lock

    def lock_others(self, table, key):
        if table is not self.table("units"):
            lock(self, table, key)

    patch(MemoryStore, "lock", lock_others)


def second_decider(patch: Patch) -> None:
    """On an abort a step before the pivot is undone at once, without asking the pivot."""
    saga, usual = SAGAS[SAGA], ScriptedParticipants.reactions
    step = saga.steps[saga.pivot - 2]
    row = projection.ReactionRow(SAGA, saga.abort, Direction.UNDO, step, step.undone)

    def reactions(self, *, service):
        undo = self.operations[step.operation, Direction.UNDO]
        also = [EventHandler(row=row, operation=undo)] if service == step.service else []
        return usual(self, service=service) + also

    patch(ScriptedParticipants, "reactions", reactions)


def fence_off(patch: Patch) -> None:
    patch(SagaLog, "is_still", lambda self, saga: True)


def own_sagas_left(patch: Patch) -> None:
    """A worker takes rows with its own id for sagas that it has in flight."""
    due = SagaLog.due

    def others(self, *, runner_id, in_flight, but):
        taken = due(self, runner_id=runner_id, in_flight=in_flight, but=but)
        return [saga_id for saga_id in taken if self.sagas[saga_id].runner_id != runner_id]

    patch(SagaLog, "due", others)


def doubt_forgotten(patch: Patch) -> None:
    """A step that was given up is taken for one that did not happen."""

    def give_up(progress, failure, *, calls):
        to = progress.position - 1
        return engine._backward(progress, to=to, failure=failure, record=None)

    patch(engine, "_give_up", give_up)


def reach_forgotten(patch: Patch) -> None:
    """Calls that a dead worker may have made, beyond its writes, are taken for not made."""
    patch(engine, "in_doubt", lambda *, progress: progress)


def pivot_before_it_is_written(patch: Patch) -> None:
    def can_be_written_later(*, before, transition):
        return transition.goes_on and transition.progress.direction is Direction.DO

    patch(engine, "can_be_written_later", can_be_written_later)


CHOREOGRAPHED = [
    barrier_off,
    undo_does_not_block,
    ack_before_commit,
    sent_before_published,
    redrive_lost,
    redrive_not_answered,
    late_abort_forgotten,
    no_lock_on_units,
    second_decider,
]
ORCHESTRATED = [
    *(barrier_off, undo_does_not_block, fence_off, doubt_forgotten, own_sagas_left),
    *(reach_forgotten, pivot_before_it_is_written),
]
MESSAGING = [barrier_off, no_lock_on_units, doubt_forgotten, own_sagas_left]
BUGS = [
    *((patterns.CHOREOGRAPHED, bug) for bug in CHOREOGRAPHED),
    *((patterns.ORCHESTRATED, bug) for bug in ORCHESTRATED),
    *((patterns.ORCHESTRATED_MESSAGING, bug) for bug in MESSAGING),
]


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def failure_of(pattern: str, bug: Callable[[Patch], None], monkeypatch) -> FailingSchedule | None:
    with monkeypatch.context() as patched:
        bug(patched.setattr)
        with in_memory() as made:
            environments = {
                name: environment
                for name, environment in made.items()
                if name.startswith(f"{pattern}/{SAGA}/")
            }
            return (
                Explorer(environments=environments, schedules=SCHEDULES, seed=7).explore().failure
            )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_nothing_is_found_where_nothing_is_broken(pattern, monkeypatch):
    assert failure_of(pattern, nothing, monkeypatch) is None


@pytest.mark.parametrize(
    ("pattern", "bug"), BUGS, ids=lambda value: getattr(value, "__name__", value)
)
def test_bug_is_found_with_few_deviations(pattern, bug, monkeypatch):
    failure = failure_of(pattern, bug, monkeypatch)
    assert failure is not None
    assert len(failure.deviations) <= 4


@pytest.mark.parametrize(("bug", "is_found"), [(nothing, False), (lost_start_forgotten, True)])
def test_start_that_all_have_lost_is_found_by_the_safety_net(bug, is_found, monkeypatch):
    """Two losses at once: few of the schedules above have them."""
    bug(monkeypatch.setattr)
    with in_memory() as made:
        environment = made[f"{patterns.CHOREOGRAPHED}/{SAGA}/one"]
        played = Player(environment=environment, chooser=GivenChoices({1: 4, 2: 2})).play()
    assert played.kinds == ["lose", "lose"]
    assert bool(played.breaches) is is_found
