"""Rules on the journeys of a saga, in any pattern: on refusals and completion, on being turned back
or returned, and on the differences between two patterns.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from checker.protocol.description import Ending, Found, Rule, pivot_of
from checker.protocol.journeys import Act, Course, Journey, Journeys
from contracts.saga import Direction, Saga


class Walk(NamedTuple):
    """A saga and its journeys in one pattern; `other`: journeys of the pattern it must equal."""

    saga: Saga
    journeys: Journeys
    other: Journeys = {}
    other_name: str = ""

    def plain(self) -> Iterator[tuple[Course, Journey]]:
        """The journeys that are neither turned back nor returned."""
        for scenario, journeys in self.journeys.items():
            if not scenario.is_turned_back and not scenario.is_returned:
                yield from ((scenario, journey) for journey in journeys)

    def turned_back(self) -> Iterator[tuple[Course, Journey]]:
        for scenario, journeys in self.journeys.items():
            if scenario.is_turned_back:
                yield from ((scenario, journey) for journey in journeys)


def _off_the_list(walk: Walk) -> Iterator[Found]:
    wanted = [step.name for step in walk.saga.steps]
    for journey in walk.journeys[Course()]:
        if journey.done != wanted:
            what = f"it does {_row(journey.done)}; the list has {_row(wanted)}."
            yield Found(str(Course()), what)


def _endless(walk: Walk) -> Iterator[Found]:
    for scenario, journey in walk.plain():
        wanted = Ending.UNDONE if scenario.refused else Ending.COMPLETED
        yield from _ending(scenario, journey, (wanted,))


def _left_behind(walk: Walk) -> Iterator[Found]:
    for scenario, journey in walk.plain():
        if scenario.refused:
            for step in [name for name in journey.done if name not in journey.undone]:
                yield _on_way(scenario, journey, f"{step} had happened, and nothing undoes it")


def _disordered(walk: Walk) -> Iterator[Found]:
    for scenario, journey in walk.plain():
        wanted = [name for name in reversed(journey.done) if name in journey.undone]
        if journey.undone != wanted:
            what = f"it undoes {_row(journey.undone)}, which happened as {_row(journey.done)}"
            yield _on_way(scenario, journey, what)


def _both_ways(walk: Walk) -> Iterator[Found]:
    for scenario, journey in walk.plain():
        yield from _late(scenario, journey)
        pivot = pivot_of(walk.saga)
        if pivot and pivot.name in journey.done and journey.undone:
            yield _on_way(scenario, journey, f"{journey.undone[0]} is undone after the pivot")


def _late(scenario: Course, journey: Journey) -> Iterator[Found]:
    """Steps that are done after undoing has begun."""
    directions = [act.direction for act in journey.acts]
    undoing = directions.index(Direction.UNDO) if Direction.UNDO in directions else len(directions)
    for act in journey.acts[undoing:]:
        if act.direction is Direction.DO:
            yield _on_way(scenario, journey, f"{act.step} happens after undoing has begun")


def _repeated(walk: Walk) -> Iterator[Found]:
    for scenario, journey in walk.plain():
        for what in dict.fromkeys(taken for taken in journey.way if journey.way.count(taken) > 1):
            times = journey.way.count(what)
            yield _on_way(scenario, journey, f"{what}: {times} times, without a fault")


def _half_turned(walk: Walk) -> Iterator[Found]:
    every = [step.name for step in walk.saga.steps]
    for scenario, journey in walk.turned_back():
        is_undone = journey.undone == journey.done[::-1]
        is_whole = journey.done == every and not journey.undone
        if not is_undone and not is_whole:
            left = [name for name in journey.done if name not in journey.undone]
            what = f"{_row(left)} is not undone" if left else "undos are out of order"
            yield _on_way(scenario, journey, what)
        else:
            wanted = Ending.UNDONE if is_undone else Ending.COMPLETED
            yield from _ending(scenario, journey, (wanted,))
        yield from _late(scenario, journey)


def _unstoppable(walk: Walk) -> Iterator[Found]:
    """Turned back early enough the saga is undone, and too late it completes."""
    scenario = Course(is_turned_back=True)
    turned = [journey for journey in walk.journeys.get(scenario, ()) if journey.ends]
    for ending in Ending:
        if turned and not any(journey.ends == (ending,) for journey in turned):
            yield Found(str(scenario), f"turned back at any moment, it never ends {ending}.")


def _kept(walk: Walk) -> Iterator[Found]:
    wanted = [step.name for step in reversed(walk.saga.steps) if step.undone]
    scenario = Course(is_returned=True)
    for journey in walk.journeys.get(scenario, ()):
        if journey.undone != wanted:
            what = f"it undoes {_row(journey.undone)}; the list has {_row(wanted)}"
            yield _on_way(scenario, journey, what)
        yield from _ending(scenario, journey, (Ending.COMPLETED, Ending.UNDONE))


def _different(walk: Walk) -> Iterator[Found]:
    for scenario in [journey for journey in walk.journeys if journey in walk.other]:
        mine, theirs = (
            {(journey.acts, journey.ends) for journey in journeys[scenario]}
            for journeys in (walk.journeys, walk.other)
        )
        for acts, ends in sorted(mine - theirs):
            what = f"only here: {_acts(acts)}, {_row(ends)}; {walk.other_name} never does that."
            yield Found(str(scenario), what)
        for acts, ends in sorted(theirs - mine):
            yield Found(str(scenario), f"only {walk.other_name}: {_acts(acts)}, {_row(ends)}.")


def _ending(scenario: Course, journey: Journey, wanted: tuple[Ending, ...]) -> Iterator[Found]:
    if journey.ends == wanted:
        return
    if len(journey.ends) < len(wanted):
        yield _on_way(scenario, journey, "it never ends")
    else:
        what = f"it ends {_row(journey.ends)}, and should end {_row(wanted)}"
        yield _on_way(scenario, journey, what)


def _on_way(scenario: Course, journey: Journey, what: str) -> Found:
    return Found(str(scenario), f"{what}. Way: {journey}")


def _row(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"


def _acts(acts: tuple[Act, ...]) -> str:
    return ", ".join(
        act.step if act.direction is Direction.DO else f"un-{act.step}" for act in acts
    )


ALONE = (
    Rule(
        "forward",
        "with no refusal, it does the steps of the list, in their order",
        "make each step's reaction consume the event of the step before it",
        _off_the_list,
    ),
    Rule(
        "ends",
        "every path ends, once, and with the right status",
        "add a reaction to the last event of the way, or publish the end there, once",
        _endless,
    ),
    Rule(
        "undone",
        "every refusal leads to the undo of each earlier step",
        "include the missing step in the chain of undos",
        _left_behind,
    ),
    Rule(
        "reverse",
        "undos come in reverse order",
        "make each undo react to the event that the step after it is undone",
        _disordered,
    ),
    Rule(
        "one way",
        "no step is done after undoing has begun, and none is undone after the pivot",
        "make undos follow from refusals only, and the pivot the last step that may be refused",
        _both_ways,
    ),
    Rule(
        "once",
        "without a fault, nothing is requested twice: a refusal is an answer",
        "treat a refusal as final, and have one service react to each event",
        _repeated,
    ),
)
ASKED = (
    Rule(
        "turned back",
        "turned back at any moment, it ends complete or fully undone, and both are possible",
        "make the abort block the pivot, and every undo follow from the pivot's refusal",
        lambda walk: [*_half_turned(walk), *_unstoppable(walk)],
    ),
    Rule(
        "given back",
        "returned after its end, every step that can be undone is undone, in reverse order",
        "make the return undo the pivot, and the other undos follow from that",
        _kept,
    ),
)
SAME = (
    Rule(
        "same",
        "in every scenario the patterns have the same effects in the same order, and end alike",
        "correct the table that is wrong: the reactions, or the list of steps",
        _different,
    ),
)
