"""What must hold of any saga, known by its page, the barriers, and its owner's and its
coordinator's rows alone: rules from its evidence to breaches of groups 3 to 6 and 8. Nothing here
knows what a step is for.

A saga that still runs, or that is parked, is held only to what must hold at any moment; one of
which a person skipped a step is theirs to answer for. The barrier's rows tell what each service did
and when; its own tables tell what came of it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from contracts.patterns import PATTERNS
from contracts.saga import Direction
from contracts.states import FINAL
from loadtests.audit import waiting
from loadtests.audit.evidence import (
    AcceptedRow,
    CoordinatorRow,
    EntryRow,
    Evidence,
    Finding,
    RequestsRow,
)


class Effect(NamedTuple):
    """What a service's own tables show if and only if its barrier has an entry for it: `is_there`,
    of the saga's step that does this operation.
    """

    name: str
    operation: str
    direction: Direction
    is_there: Callable[[Evidence, str], bool]


def effects_of(
    kind: type[Any], shown: Mapping[tuple[str, str, Direction], Callable[[Any, str], object]]
) -> list[Effect]:
    """By name, operation and direction: it is there if this holds of any of the saga's rows of this
    kind, and the step."""

    def by(holds: Callable[[Any, str], object]) -> Callable[[Evidence, str], bool]:
        return lambda saga, step: any(holds(row, step) for row in saga.of(kind))

    return [Effect(*named, by(holds)) for named, holds in shown.items()]


Effects = Mapping[str, Sequence[Effect]]
"""Those of all services, by operation."""


def breaches(saga: Evidence, effects: Effects) -> Iterator[Finding]:
    """What must hold of any saga. `effects`: of the services whose own tables are known.

    Of a closed one only its owner's record is there, and what each service's own tables tell.
    """
    if saga.is_closed:
        yield from ((8, what) for what in steady(saga))
        yield from ((6, what) for what in awakened(saga))
        return
    for group, found in (
        (3, ended(saga)),
        (4, agreement(saga)),
        (5, undoing(saga)),
        (6, causes(saga, effects)),
        (8, steady(saga)),
    ):
        for what in found:
            yield group, what


def ended(saga: Evidence) -> Iterator[str]:
    """3: it has ended, is parked with its reason and step, or waits until a named time."""
    yield from waiting.overdue(saga)
    accepted, run = saga.accepted, saga.run
    if accepted is None:
        return
    if accepted.closed_at is not None and (saga.runs or not saga.is_over):
        yield f"closed, and {run.status if run else accepted.status} all the same"
    if saga.is_over:
        return
    if run is None and accepted.dead_letter:
        return
    if run is None:
        handed = "handed over, but no coordinator has it" if accepted.handed_over_at else ""
        yield handed or "accepted, and never handed over to its coordinator"
    elif run.status != "parked" and not waiting.of(saga):
        where = f" at {run.step}" if run.step else ""
        yield (
            f"not ended: {run.status}{where} ({run.service}),"
            f" {accepted.status} for {accepted.service}"
        )
    elif run.status == "parked" and not (run.parked and run.step):
        yield f"parked without {'a reason' if run.step else 'its step'} ({run.service})"


def agreement(saga: Evidence) -> Iterator[str]:
    """4: its owner, its coordinator and what was done tell the same outcome."""
    accepted = saga.accepted
    if accepted is None or not saga.is_over:
        return
    if not saga.data:
        yield f"{accepted.service} can't read what it is about"
    for run in saga.runs:
        yield from _run_agrees(accepted, run)
    if not saga.runs and not saga.is_local and (saga.is_completed or _has_begun(saga)):
        yield f"{accepted.status}, but no coordinator has it"
    if not saga.is_local and not saga.is_skipped:
        yield from _steps_agree(saga)


def awakened(saga: Evidence) -> Iterator[str]:
    """6: nothing is done of a closed saga, whatever comes late."""
    closed_at = (saga.accepted.closed_at if saga.accepted else None) or math.inf
    for entry in saga.entries:
        if entry.status == "done" and not entry.is_nothing and (entry.decided_at or 0) > closed_at:
            yield f"{entry.direction} {entry.step} was done after it was closed"


def steady(saga: Evidence) -> Iterator[str]:
    """8: nothing ends before it begins, and what has ended stays so."""
    accepted = saga.accepted
    if accepted is None:
        return
    if len(saga.of(AcceptedRow)) > 1:
        yield f"accepted {len(saga.of(AcceptedRow))} times"
    if (accepted.status in FINAL) != (accepted.ended_at is not None):
        yield f"{accepted.service} says {accepted.status}, ended at {accepted.ended_at}"
    if accepted.ended_at is not None and accepted.ended_at < accepted.accepted_at:
        before = accepted.accepted_at - accepted.ended_at
        yield f"ended {before:.3f} s before it was accepted"
    for run in saga.runs:
        if run.status in FINAL and run.finished_at is None:
            yield f"{run.status} for {run.service}, but at no time"


def _steps_agree(saga: Evidence) -> Iterator[str]:
    if saga.is_completed:
        for step in saga.page.steps:
            if not saga.done(step.name):
                yield f"completed, but {step.name} was never done"
    acceptance = _acceptance(saga)
    undone = [step for step in saga.page.backward if step != acceptance and saga.undone(step)]
    if saga.status == "failed" and undone:
        yield f"failed (nothing had to be undone), but undone: {', '.join(undone)}"
    if saga.status == "compensated" and not undone:
        yield "compensated, but nothing was undone"


def _run_agrees(accepted: AcceptedRow, run: CoordinatorRow) -> Iterator[str]:
    if run.status != accepted.status:
        yield f"{accepted.status} for {accepted.service}, {run.status} for {run.service}"
    for what, owned, other in (
        ("saga", accepted.saga, run.saga),
        ("subject", accepted.subject, run.subject),
    ):
        if owned != other:
            yield f"its {what} is {owned} for {accepted.service}, {other} for {run.service}"
    if accepted.digest != run.digest:
        yield f"what it is about is not the same for {accepted.service} and {run.service}"
    pattern = PATTERNS.get(accepted.pattern)
    if pattern is None or pattern.coordinator != run.service:
        yield f"accepted as {accepted.pattern}, run by {run.service}"


def once_a_step(saga: Evidence, kind: type[Any], what: str) -> Iterator[Finding]:
    """6: a service has one row of this kind for a step."""
    for step, count in Counter(row.step for row in saga.of(kind)).items():
        if count > 1:
            yield 6, f"there are {count} {what} of {step}"


def _acceptance(saga: Evidence) -> str:
    return saga.page.steps[0].name


def _has_begun(saga: Evidence) -> bool:
    return any(entry.step != _acceptance(saga) for entry in saga.entries)


def undoing(saga: Evidence) -> Iterator[str]:
    """5: what happened is undone once, in reverse, and nothing beyond the pivot but a return."""
    page = saga.page
    undone = [(step, entry) for step in page.backward if (entry := saga.undone(step))]
    for (later, entry), (earlier, next_entry) in pairwise(undone):
        if (entry.decided_at or 0) > (next_entry.decided_at or 0):
            yield f"{earlier} was undone before {later}, {_apart(entry, next_entry)}"
    if undone and saga.done(page.pivot) and not saga.is_returned:
        names = ", ".join(step for step, _ in undone)
        yield f"undone beyond its pivot, and no return was asked for: {names}"
    if saga.is_over and not saga.is_completed and not saga.is_skipped:
        for step in page.backward if saga.is_returned else page.forward:
            if saga.done(step) and not saga.undone(step):
                yield f"ended {saga.status}, but {step} was never undone"


def causes(saga: Evidence, effects: Effects) -> Iterator[str]:
    """6: every effect follows from the one before it, once, and never from beyond its undo."""
    if saga.accepted is None:
        yield f"{saga.page.saga.owner} never accepted it, but there is {what_there_is(saga)}"
        return
    if saga.accepted.service != saga.page.saga.owner:
        yield f"{saga.accepted.service} accepted it, and it is {saga.page.saga.owner}'s"
    if len(saga.runs) > 1:
        yield "both coordinators run it"
    for entry in saga.entries:
        if entry.status is None:
            yield f"{entry.direction} {entry.step} was committed undecided"
        if entry.saga not in ("", saga.name):
            yield f"{entry.service} did {entry.step} of it as {entry.saga}, not {saga.name}"
    yield from _chain(saga)
    yield from waiting.decided(saga)
    if not saga.is_local:
        yield from _effects(saga, effects)
    yield from _asked(saga)


def what_there_is(saga: Evidence) -> str:
    """Of a saga that no owner accepted."""
    there = [f"a saga ({run.status}) at {run.service}" for run in saga.runs]
    there += [f"{entry.direction} {entry.step} ({entry.status})" for entry in saga.entries]
    return ", ".join(there) or "what no call of a step has left"


def _chain(saga: Evidence) -> Iterator[str]:
    """A step is done after the one before it was, and before its own undo."""
    names = [step.name for step in saga.page.steps]
    if not saga.is_local and not saga.done(names[0]):
        yield f"accepted, but {names[0]} was never done"
    for before, step in pairwise(names):
        cause, entry = saga.done(before), saga.done(step)
        if entry and cause is None and not saga.is_skipped:
            yield f"{step} was done, but {before} was not"
        elif entry and cause and (cause.decided_at or 0) > (entry.decided_at or 0):
            yield f"{step} was done before {before}, {_apart(cause, entry)}"
    for step in names:
        entry, undone = saga.done(step), saga.undone(step)
        if entry and undone and (undone.decided_at or 0) < (entry.decided_at or 0):
            yield f"{step} was done after its undo, {_apart(entry, undone)}"


def _effects(saga: Evidence, effects: Effects) -> Iterator[str]:
    """The barrier and the service's own tables tell the same."""
    for step in saga.page.steps:
        for effect in effects.get(step.operation, ()):
            is_undo = effect.direction is Direction.UNDO
            entry = saga.undone(step.name) if is_undo else saga.done(step.name)
            named = f"the undo of {step.name}" if is_undo else step.name
            is_there = effect.is_there(saga, step.name)
            if is_there and entry is None:
                yield f"there is a {effect.name}, but {named} was never done"
            elif entry is not None and not is_there and not saga.is_skipped:
                yield f"{named} was done, but there is no {effect.name}"


def _asked(saga: Evidence) -> Iterator[str]:
    """Of a saga that goes by message: whatever was done was asked for."""
    for asked in saga.of(RequestsRow):
        sent = frozenset(asked.requests.split(","))
        for request, step, direction in saga.page.requests:
            entry = saga.undone(step) if direction is Direction.UNDO else saga.done(step)
            if entry and request not in sent:
                yield f"{step} took effect, but {request} was never sent"


def _apart(entry: EntryRow, other: EntryRow) -> str:
    return f"{abs((entry.decided_at or 0) - (other.decided_at or 0)) * 1000:.3f} ms apart"
