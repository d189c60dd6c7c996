"""Rules on the list of steps itself, for whichever pattern runs it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from checker.protocol.description import Protocol, Reaction
from checker.protocol.rules import Found, Rule
from contracts.saga import Saga, StepClass

_ORDER = [StepClass.COMPENSABLE, StepClass.PIVOT, StepClass.RETRIABLE]


def unowned(saga: Saga, reactions: Sequence[Reaction]) -> Iterator[Found]:
    """Reactions of a service to what is another's, or nobody's."""
    owners = {step.name: step.service for step in saga.steps}
    for one in reactions:
        owner = owners.get(one.step)
        if owner is None:
            yield Found(str(one), f"{one}: the saga has no such step.")
        elif owner != one.service:
            yield Found(str(one), f"{one}: that step is {owner}'s.")


def _misshapen(protocol: Protocol) -> Iterator[Found]:
    steps = protocol.saga.steps
    if [one.step_class for one in steps].count(StepClass.PIVOT) > 1:
        yield Found(protocol.saga.name, "it has two pivots: either could be the last to say no.")
    for before, after in pairwise(steps):
        if _ORDER.index(before.step_class) > _ORDER.index(after.step_class):
            what = f"{after.name} ({after.step_class}) comes after {before.name}"
            yield Found(after.name, f"{what} ({before.step_class}): it could not be undone.")
    for one in steps:
        if one.step_class is StepClass.COMPENSABLE and not one.undone:
            yield Found(one.name, f"{one.name} is compensable, and nothing undoes it.")


SHAPE = Rule(
    "shape",
    "steps that can be undone come first, then at most one pivot, then what must succeed",
    "reorder the steps, or give the step its undo",
    _misshapen,
)
