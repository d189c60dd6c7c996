"""Rules for any saga: breaches of groups 3 to 6 and 8, from its definition, the barriers, and the
rows of its owner and coordinator. Nothing here depends on what a step does.

A saga that still runs, or is parked, is checked only for what must hold at any moment; if an
operator skipped a step, some rules do not apply. The barrier's rows show what each service did and
when; the service's own tables show the effect.
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
    cents_of,
    money,
)


class Effect(NamedTuple):
    """What a service's own tables show if and only if its barrier has an entry: `is_there`, given
    the saga and the step with this operation.
    """

    name: str
    operation: str
    direction: Direction
    is_there: Callable[[Evidence, str], bool]


def effects_of(
    kind: type[Any], shown: Mapping[tuple[str, str, Direction], Callable[[Any, str], object]]
) -> list[Effect]:
    """By (name, operation, direction): the effect is there if the predicate holds for any of the
    saga's rows of this kind, and the step."""

    def by(holds: Callable[[Any, str], object]) -> Callable[[Evidence, str], bool]:
        return lambda saga, step: any(holds(row, step) for row in saga.of(kind))

    return [Effect(*named, by(holds)) for named, holds in shown.items()]


def ended_as(kind: type[Any], status: str) -> Callable[[Evidence, str], bool]:
    """An effect: a row of this kind has the status. A return comes later, and cancels the row."""
    return lambda saga, step: (
        any(row.status == status for row in saga.of(kind))
        or bool(saga.is_returned and saga.done(step))
    )


def owned_by(
    owner: str, saga: Evidence, kind: type[Any], name: str, statuses: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """4: the owner's total is that of the saga's data; its row of this kind (an order, say: `name`)
    has one of the `statuses` for the saga's status ("" for one that has not ended)."""
    accepted = saga.accepted
    if accepted is None or accepted.service != owner:
        return
    agreed = cents_of(saga.data.get("total_amount"))
    if agreed is not None and accepted.total != agreed:
        yield 4, f"total {money(accepted.total)}, {money(agreed)} for its saga's steps"
    wanted = statuses.get(accepted.status, statuses[""])
    for row in saga.of(kind):
        if row.status not in wanted:
            yield 4, f"{accepted.status}, but its {name} is {row.status}"


Effects = Mapping[str, Sequence[Effect]]
"""The effects of all services, by operation."""


def breaches(saga: Evidence, effects: Effects) -> Iterator[Finding]:
    """The breaches of any saga. Of a closed saga only its owner's row and the services' own tables
    are left.
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
    """3: it has ended, is parked with a reason and step, or waits until a known time."""
    yield from waiting.overdue(saga)
    accepted, run = saga.accepted, saga.run
    if accepted is None:
        return
    if accepted.closed_at is not None and (saga.runs or not saga.is_over):
        yield f"closed, but still {run.status if run else accepted.status}"
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
    """4: its owner, its coordinator and its steps agree on the outcome."""
    accepted = saga.accepted
    if accepted is None or not saga.is_over:
        return
    if not saga.data:
        yield f"its data at {accepted.service} can't be read"
    for run in saga.runs:
        yield from _run_agrees(accepted, run)
    if not saga.runs and not saga.is_local and (saga.is_completed or _has_begun(saga)):
        yield f"{accepted.status}, but no coordinator has it"
    if not saga.is_local and not saga.is_skipped:
        yield from _steps_agree(saga)


def awakened(saga: Evidence) -> Iterator[str]:
    """6: no step is done after the saga was closed, whatever message arrives late."""
    closed_at = (saga.accepted.closed_at if saga.accepted else None) or math.inf
    for entry in saga.entries:
        if entry.status == "done" and not entry.is_nothing and (entry.decided_at or 0) > closed_at:
            yield f"{entry.direction} {entry.step} was done after it was closed"


def steady(saga: Evidence) -> Iterator[str]:
    """8: a saga ends after it began, and stays ended."""
    accepted = saga.accepted
    if accepted is None:
        return
    if len(saga.of(AcceptedRow)) > 1:
        yield f"accepted {len(saga.of(AcceptedRow))} times"
    if (accepted.status in FINAL) != (accepted.ended_at is not None):
        yield f"{accepted.service} has it as {accepted.status}, ended at {accepted.ended_at}"
    if accepted.ended_at is not None and accepted.ended_at < accepted.accepted_at:
        before = accepted.accepted_at - accepted.ended_at
        yield f"ended {before:.3f} s before it was accepted"
    for run in saga.runs:
        if run.status in FINAL and run.finished_at is None:
            yield f"{run.status} for {run.service}, but without a time"


def _steps_agree(saga: Evidence) -> Iterator[str]:
    if saga.is_completed:
        for step in saga.definition.steps:
            if not saga.done(step.name):
                yield f"completed, but {step.name} was never done"
    acceptance = _acceptance(saga)
    undone = [step for step in saga.definition.backward if step != acceptance and saga.undone(step)]
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
        yield f"its data is not the same at {accepted.service} and {run.service}"
    pattern = PATTERNS.get(accepted.pattern)
    if pattern is None or pattern.coordinator != run.service:
        yield f"accepted as {accepted.pattern}, run by {run.service}"


def once_a_step(saga: Evidence, kind: type[Any], what: str) -> Iterator[Finding]:
    """6: a service has at most one row of this kind for a step."""
    for step, count in Counter(row.step for row in saga.of(kind)).items():
        if count > 1:
            yield 6, f"there are {count} {what} of {step}"


def _acceptance(saga: Evidence) -> str:
    return saga.definition.steps[0].name


def _has_begun(saga: Evidence) -> bool:
    return any(entry.step != _acceptance(saga) for entry in saga.entries)


def undoing(saga: Evidence) -> Iterator[str]:
    """5: steps are undone once, in reverse, and beyond the pivot only by a return."""
    definition = saga.definition
    undone = [(step, entry) for step in definition.backward if (entry := saga.undone(step))]
    for (later, entry), (earlier, next_entry) in pairwise(undone):
        if (entry.decided_at or 0) > (next_entry.decided_at or 0):
            yield f"{earlier} was undone before {later}, {_apart(entry, next_entry)}"
    if undone and saga.done(definition.pivot) and not saga.is_returned:
        names = ", ".join(step for step, _ in undone)
        yield f"undone beyond its pivot without a return: {names}"
    if saga.is_over and not saga.is_completed and not saga.is_skipped:
        for step in definition.backward if saga.is_returned else definition.forward:
            if saga.done(step) and not saga.undone(step):
                yield f"ended {saga.status}, but {step} was never undone"


def causes(saga: Evidence, effects: Effects) -> Iterator[str]:
    """6: every effect follows from the one before it, once, and never comes after its undo."""
    owner = saga.definition.saga.owner
    if saga.accepted is None:
        yield f"{owner} never accepted it, but there is {what_there_is(saga)}"
        return
    if saga.accepted.service != owner:
        yield f"{saga.accepted.service} accepted it, but its owner is {owner}"
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
    """The rows of a saga that no owner accepted, in words."""
    there = [f"a saga ({run.status}) at {run.service}" for run in saga.runs]
    there += [f"{entry.direction} {entry.step} ({entry.status})" for entry in saga.entries]
    return ", ".join(there) or "an effect without a call of a step"


def _chain(saga: Evidence) -> Iterator[str]:
    """A step is done after the step before it, and before its own undo."""
    names = [step.name for step in saga.definition.steps]
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
    """The barrier and the service's own tables agree."""
    for step in saga.definition.steps:
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
    """Over messages: every step that took effect was requested."""
    for asked in saga.of(RequestsRow):
        sent = frozenset(asked.requests.split(","))
        for request, step, direction in saga.definition.requests:
            entry = saga.undone(step) if direction is Direction.UNDO else saga.done(step)
            if entry and request not in sent:
                yield f"{step} took effect, but {request} was never sent"


def _apart(entry: EntryRow, other: EntryRow) -> str:
    return f"{abs((entry.decided_at or 0) - (other.decided_at or 0)) * 1000:.3f} ms apart"
