"""What followed from what in one saga: rules from its evidence to the breaches of groups 5 and 6.

The barrier's rows tell what each service did and when; its own tables tell what came of it.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from contracts import sagas
from contracts.sagas import CHECKOUT, StepClass
from loadtests.audit.evidence import Evidence
from loadtests.audit.tables import Entry

STEPS = [step.name for step in CHECKOUT.steps]
COMPENSABLE = [step.name for step in CHECKOUT.steps if step.step_class is StepClass.COMPENSABLE]
BACKWARD = [step.name for step in reversed(CHECKOUT.steps) if step.undo]


class Effect(NamedTuple):
    """What a service's own tables show if and only if its barrier has an entry for it."""

    name: str
    step: str
    is_undo: bool
    is_there: Callable[[Evidence], bool]

    @property
    def named_by(self) -> str:
        return f"the undo of {self.step}" if self.is_undo else self.step

    def entry(self, saga: Evidence) -> Entry | None:
        return saga.undone(self.step) if self.is_undo else saga.done(self.step)


def _reserved(*statuses: str) -> Callable[[Evidence], bool]:
    return lambda saga: any(one.status in statuses for one in saga.reservations)


EFFECTS = [
    Effect("checkout", sagas.ACCEPT, False, lambda saga: bool(saga.checkouts)),
    Effect("reservation", sagas.RESERVE, False, lambda saga: bool(saga.reservations)),
    Effect(
        "payment",
        sagas.CHARGE,
        False,
        lambda saga: any(one.status != "refused" for one in saga.payments),
    ),
    Effect(
        "order",
        sagas.CREATE_ORDER,
        False,
        lambda saga: any(one.order_id for one in saga.checkouts),
    ),
    Effect("sale", sagas.COMMIT, False, _reserved("committed", "restored")),
    Effect(
        "confirmed order",
        sagas.CONFIRM_ORDER,
        False,
        lambda saga: any(one.confirmed_at for one in saga.checkouts),
    ),
    Effect(
        "refund",
        sagas.CHARGE,
        True,
        lambda saga: any(one.refunded is not None for one in saga.payments),
    ),
    Effect(
        "cancelled order",
        sagas.CREATE_ORDER,
        True,
        lambda saga: any(one.cancelled_at for one in saga.checkouts),
    ),
    Effect("sale taken back", sagas.COMMIT, True, _reserved("restored")),
]


def undoing(saga: Evidence) -> Iterator[str]:
    """5: what happened is undone once, in reverse, and nothing beyond the pivot but a return."""
    undone = [(step, entry) for step in BACKWARD if (entry := saga.undone(step))]
    for (later, one), (earlier, next_one) in pairwise(undone):
        if (one.decided_at or 0) > (next_one.decided_at or 0):
            yield f"{earlier} was undone before {later}, {_apart(one, next_one)}"
    if undone and saga.done(sagas.COMMIT) and not saga.is_returned:
        names = ", ".join(step for step, _ in undone)
        yield f"undone beyond its pivot, and nobody asked for a return: {names}"
    if saga.is_over and not saga.is_completed and not saga.is_skipped:
        steps = BACKWARD if saga.is_returned else COMPENSABLE
        for step in steps:
            if saga.done(step) and not saga.undone(step):
                yield f"ended {saga.checkouts[0].status}, but {step} was never undone"


def causes(saga: Evidence) -> Iterator[str]:
    """6: every effect follows from the one before it, once, and never from beyond its undo."""
    if saga.checkout is None:
        yield f"carrito never accepted it, but there is {_what_there_is(saga)}"
        return
    if len(saga.runs) > 1:
        yield "both coordinators run it"
    for entry in saga.entries:
        if entry.status is None:
            yield f"{entry.direction} {entry.step} was committed undecided"
    yield from _chain(saga)
    if not saga.is_local:
        yield from _effects(saga)
    yield from _asked(saga)


def _chain(saga: Evidence) -> Iterator[str]:
    """A step is done after the one before it was, and before its own undo."""
    for before, step in zip([None, *STEPS], STEPS, strict=False):
        entry = saga.done(step)
        if entry is None:
            continue
        cause = saga.done(before) if before else entry
        if cause is None and not saga.is_skipped:
            yield f"{step} was done, but {before} was not"
        elif cause and (cause.decided_at or 0) > (entry.decided_at or 0):
            yield f"{step} was done before {before}, {_apart(cause, entry)}"
        undone = saga.undone(step)
        if undone and (undone.decided_at or 0) < (entry.decided_at or 0):
            yield f"{step} was done after its undo, {_apart(entry, undone)}"


def _effects(saga: Evidence) -> Iterator[str]:
    """The barrier and the service's own tables tell the same."""
    for effect in EFFECTS:
        is_there, is_known = effect.is_there(saga), effect.entry(saga) is not None
        if is_there and not is_known:
            yield f"there is a {effect.name}, but {effect.named_by} was never done"
        elif is_known and not is_there:
            yield f"{effect.named_by} was done, but there is no {effect.name}"
    for name, rows in (("reservations", saga.reservations), ("orders", saga.checkouts)):
        if len(rows) > 1:
            yield f"there are {len(rows)} {name}"


def _asked(saga: Evidence) -> Iterator[str]:
    """Of a saga that goes by message: whatever was done was asked for."""
    for asked in saga.asked:
        requests = asked.requests.split(",")
        for step in CHECKOUT.steps:
            wanted = ((step.do_request, saga.done), (step.undo_request, saga.undone))
            for request, there_is in wanted:
                if request and request not in requests and there_is(step.name):
                    yield f"{step.name} took effect, but {request} was never sent"


def _what_there_is(saga: Evidence) -> str:
    there = [f"a payment ({one.status})" for one in saga.payments]
    there += [f"a reservation ({one.status})" for one in saga.reservations]
    there += [f"a saga ({one.status}) at {one.service}" for one in saga.runs]
    there += [f"{one.direction} {one.step} ({one.status})" for one in saga.entries]
    return ", ".join(there)


def _apart(one: Entry, other: Entry) -> str:
    return f"{abs((one.decided_at or 0) - (other.decided_at or 0)) * 1000:.3f} ms apart"
