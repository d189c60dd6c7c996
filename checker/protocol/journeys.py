"""The journeys of a saga: what took effect, in order, and how it ended, in every scenario."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from checker.protocol.description import Ending, may_be_refused
from contracts.saga import Direction, Saga


class Act(NamedTuple):
    """An effect: `do` or `undo` of a step."""

    direction: Direction
    step: str


class Journey(NamedTuple):
    """One way through. `ends`: the endings, in order; `way`: what was heard, or called."""

    acts: tuple[Act, ...]
    ends: tuple[Ending, ...]
    way: tuple[str, ...] = ()

    @property
    def done(self) -> list[str]:
        """The steps that took effect, in order."""
        return [one.step for one in self.acts if one.direction is Direction.DO]

    @property
    def undone(self) -> list[str]:
        """The steps whose effect was taken back, in order."""
        return [one.step for one in self.acts if one.direction is Direction.UNDO]

    def __str__(self) -> str:
        return " > ".join(self.way) or "(nothing happens)"


class Scenario(NamedTuple):
    """What happens to it. `refused`: the step that answers no, if any.

    `is_turned_back`: at any moment somebody, or its deadline, wants it undone; a conductor may
    also give up a step that is in doubt. `is_returned`: the same, once it has completed.
    """

    refused: str = ""
    is_turned_back: bool = False
    is_returned: bool = False

    def __str__(self) -> str:
        refused = f"{self.refused} is refused" if self.refused else "nothing is refused"
        turned = ", and it is turned back at any moment" if self.is_turned_back else ""
        return refused + turned + (", and it is given back in the end" if self.is_returned else "")


Journeys = Mapping[Scenario, Sequence[Journey]]


class Walked(NamedTuple):
    """Every journey in every scenario. `states`: how many there were in all."""

    journeys: Journeys
    states: int


def scenarios(*, saga: Saga, can_turn_back: bool, can_return: bool) -> Iterable[Scenario]:
    """Every one that there is for these steps: a refusal at each that can be, or at none."""
    steps = ["", *(step.name for step in saga.steps[1:] if may_be_refused(step))]
    for refused in steps:
        yield Scenario(refused)
        if can_turn_back:
            yield Scenario(refused, is_turned_back=True)
    if can_return:
        yield Scenario(is_returned=True)
