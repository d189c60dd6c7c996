"""The invariants of any saga, from its effects and its status.

At any moment: no status goes back. In the end: the saga has ended once, complete or fully undone;
nothing took effect twice, or after its undo; undos were in reverse order.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from checker.explorer.sagas.participants import Effect, Word, waits_for
from checker.explorer.sagas.scenarios import Scenario
from contracts.saga import Direction, Saga
from contracts.states import SagaStatus
from participant.operations import YES

if TYPE_CHECKING:
    from checker.explorer.sagas.backend import AskedDecision

ACCEPTED, COMPLETED, UNDONE = "accepted", "completed", "undone"


class ObservedSaga(NamedTuple):
    """A saga's status at its owner, and at its coordinator (empty: not known there yet)."""

    owner: str
    run: str


def status_for_owner(*, saga: Saga, saga_id: str, effects: Mapping[Effect, object]) -> str:
    """The status that follows from the effects of its first and its last step."""
    if (saga_id, saga.steps[0].name, Direction.UNDO) in effects:
        return UNDONE
    is_whole = (saga_id, saga.steps[-1].name, Direction.DO) in effects
    return COMPLETED if is_whole else ACCEPTED


_AFTER: Mapping[str, frozenset[str]] = {
    "": frozenset(SagaStatus),
    SagaStatus.PENDING: frozenset(SagaStatus),
    SagaStatus.RUNNING: frozenset(SagaStatus) - {SagaStatus.PENDING},
    SagaStatus.PARKED: frozenset(SagaStatus) - {SagaStatus.PENDING},
    SagaStatus.COMPENSATING: frozenset(
        {SagaStatus.COMPENSATED, SagaStatus.FAILED, SagaStatus.PARKED}
    ),
    SagaStatus.COMPLETED: frozenset(),
    SagaStatus.COMPENSATED: frozenset(),
    SagaStatus.FAILED: frozenset(),
}
_AFTER_FOR_OWNER = {
    "": frozenset({ACCEPTED, COMPLETED, UNDONE}),
    ACCEPTED: frozenset({COMPLETED, UNDONE}),
    COMPLETED: frozenset(),
    UNDONE: frozenset(),
}
_RETURNED = frozenset({SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, UNDONE})


class Monotonicity:
    """Compares the status of sagas with that of the last time."""

    def __init__(self) -> None:
        self._last: Mapping[str, ObservedSaga] = {}

    def breaches(self, *, now: Mapping[str, ObservedSaga], may_return: bool) -> Iterator[str]:
        """Each status that went back since the last time. `may_return`: a return was requested."""
        last, self._last = self._last, now
        if last == now:
            return
        for saga_id, snapshot in now.items():
            stood = last.get(saga_id, ObservedSaga("", ""))
            for who, before, after, following in (
                ("its owner", stood.owner, snapshot.owner, _AFTER_FOR_OWNER),
                ("its coordinator", stood.run, snapshot.run, _AFTER),
            ):
                is_return = may_return and before == COMPLETED and after in _RETURNED
                if before != after and not is_return and after not in following[before]:
                    yield f"{saga_id}: {before or 'unknown'} became {after} for {who}"


def breaches(
    *,
    scenario: Scenario,
    effects: Mapping[Effect, Sequence[float]],
    units: int,
    snapshots: Mapping[str, ObservedSaga],
    may_return: bool,
) -> Iterator[str]:
    """The breaches at the end. `may_return`: a return was requested."""
    for saga_id in scenario.saga_ids:
        mine = {
            (step, direction): times
            for (of, step, direction), times in effects.items()
            if of == saga_id
        }
        for what in _of_saga(scenario.saga, mine, snapshots[saga_id]):
            yield f"{saga_id}: {what}"
        pivot = scenario.saga.steps[scenario.saga.pivot].name
        if (pivot, Direction.UNDO) in mine and not may_return:
            yield f"{saga_id}: undone after its pivot, and no return was requested"
    taken = sum(_stands(effects, saga_id, scenario.scarce) for saga_id in scenario.saga_ids)
    if units + taken != scenario.units:
        yield f"of {scenario.units} units {units} are free and {taken} taken"


def _of_saga(
    saga: Saga, mine: Mapping[tuple[str, Direction], Sequence[float]], snapshot: ObservedSaga
) -> Iterator[str]:
    for (step, direction), times in mine.items():
        if len(times) > 1:
            yield f"{direction} {step} took effect {len(times)} times"
    names = [step.name for step in saga.steps]
    done = [name for name in names if (name, Direction.DO) in mine]
    undone = [name for name in names if (name, Direction.UNDO) in mine]
    yield from _order(mine, done, undone)
    if undone:
        if left := [name for name in done if name not in undone and saga.step(name).undone]:
            yield f"undone, and left of it: {', '.join(left)}"
        if strange := [name for name in undone if name not in done]:
            yield f"undone, and never done: {', '.join(strange)}"
    elif done != names:
        yield f"not undone, and only this of it done: {', '.join(done)}"
    yield from _status(undone, snapshot)


def _order(
    mine: Mapping[tuple[str, Direction], Sequence[float]], done: list[str], undone: list[str]
) -> Iterator[str]:
    """`done`, `undone`: in the order of the definition."""
    when_done = [mine[name, Direction.DO][0] for name in done]
    when_undone = [mine[name, Direction.UNDO][0] for name in undone]
    if when_done != sorted(when_done):
        yield "its steps were done out of order"
    if when_undone != sorted(when_undone, reverse=True):
        yield "its undos were not in reverse"
    if when_done and when_undone and max(when_done) > min(when_undone):
        yield "a step was done after undoing had begun"


def _status(undone: list[str], snapshot: ObservedSaga) -> Iterator[str]:
    """The status is failed if nothing but the acceptance was undone."""
    wanted = SagaStatus.COMPLETED
    if undone:
        wanted = SagaStatus.COMPENSATED if len(undone) > 1 else SagaStatus.FAILED
    if snapshot.run != wanted:
        yield f"its coordinator says {snapshot.run}; by its effects it is {wanted}"


def _stands(effects: Mapping[Effect, object], saga_id: str, step: str) -> bool:
    is_done = (saga_id, step, Direction.DO) in effects
    return is_done and (saga_id, step, Direction.UNDO) not in effects


def undecided(*, decisions: Sequence["AskedDecision"]) -> Iterator[str]:
    """At the end no decision is open, and every coordinator was notified."""
    for decision in decisions:
        if not decision.is_closed:
            yield f"{decision.saga_id}: {decision.step} still asks the {decision.decided_by}"
        if decision.is_waiting:
            verdict = decision.verdict or "undecided"
            yield f"{decision.saga_id}: {decision.step} still waits ({verdict})"
        if decision.is_untold:
            yield f"{decision.saga_id}: no coordinator was notified of {decision.step}"


def decided(
    *, scenario: Scenario, effects: Mapping[Effect, object], words: Sequence[Word]
) -> Iterator[str]:
    """A waiting step is decided once; only the yes of its last decider has it done."""
    by_step: dict[tuple[str, str], list[Word]] = {}
    for word in words:
        by_step.setdefault((word.saga_id, word.step), []).append(word)
    for (saga_id, step), given in by_step.items():
        if len({word.decided_by for word in given}) < len(given) or _has_gone_on(given):
            listed = ", ".join(f"{word.word} ({word.decided_by})" for word in given)
            yield f"{saga_id}: {step} was decided more than once: {listed}"
    for step in scenario.saga.steps[1:]:
        for saga_id in scenario.saga_ids if waits_for(step) else ():
            last = by_step.get((saga_id, step.name), [])[-1:]
            is_yes = [(word.decided_by, word.word) for word in last] == [(waits_for(step)[-1], YES)]
            if (saga_id, step.name, Direction.DO) in effects and not is_yes:
                word = last[0].word if last else "undecided"
                yield f"{saga_id}: {step.name} was done, and it is {word}"


def _has_gone_on(words: Sequence[Word]) -> bool:
    """Whether a verdict followed one that had closed the step (any but a yes)."""
    return any(word.word != YES for word in words[:-1])
