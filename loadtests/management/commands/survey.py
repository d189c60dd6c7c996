"""`manage.py survey`: makes the measurements for `manage.py choose`."""

import sys
from collections.abc import Callable, Sequence
from math import nan
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from loadtests.choosing.laws import MOST_HOP_MS
from loadtests.load import shopper
from loadtests.management.explained import MeasuringCommand, add_seed, add_valued, positive
from loadtests.shop import MOST_STEPS, OWN_STEPS
from loadtests.surveying import grid, survey
from loadtests.surveying.cells import NotASurvey
from loadtests.surveying.grid import Spot, SurveySettings
from loadtests.surveying.survey import Breached, FinishedSurvey
from stack.folders import MANAGE

ABOUT = """\
Measures the checkout (no other saga) in its patterns under many combinations of steps, hop delay,
load and declined cards, so that `manage.py choose` can answer for combinations between them. Takes
about 15 minutes for two patterns, on a machine that does nothing else; the time left is shown.

Each pair of steps and hop delay gets a stack of its own (fresh, on free ports, audited at its end
and removed). After a warm-up it measures the capacity of each pattern, then a window for each load
without declined cards, and some with. The stacks of --held-out have loads and shares of declined
cards between the others, and are measured twice, with much time in between; the model is not fitted
to them, and its error is measured by the mean of both.

Ctrl-C keeps what was measured; --resume continues, stack by stack. Everything is kept in
.dueto/surveys: survey.json (every cell, its units, machine, seed, audit) and, for each stack, the
windows and every checkout as CSV.
"""
STEPS = [str(count) for count in range(OWN_STEPS, MOST_STEPS + 1)]


class Command(MeasuringCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        add, pairs = add_valued(parser), {"metavar": "STEPS:MS,..."}
        there = f"of {', '.join(shopper.WITH_CONTROL)}"
        add("--patterns", str, ",".join(shopper.THE_TWO), there)
        longer = "of a window; longer in proportion at a low load"
        add("--seconds", positive, grid.USUAL_SECONDS, longer)
        fitted = "steps and hop delay of the stacks that the model is fitted to"
        add("--stacks", str, _named(grid.FITTED), fitted, **pairs)
        add("--held-out", str, _named(grid.HELD_OUT), "of those that measure its error", **pairs)
        loads = "checkouts per second; 60 %% of what the slower pattern can do is added"
        add("--loads", str, "10,25,75", loads)
        add("--refusals", str, "0,0.3", "shares of declined cards")
        add_seed(parser, of="arrival times and order")
        parser.add_argument(
            "--resume", type=Path, metavar="DIR", help="resume a stopped survey: its folder"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with self.measuring(if_stopped="the earlier stacks are kept"):
                finished = self._run(options)
        except (NotASurvey, Breached) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"survey: {finished.path}")
        if finished.was_stopped:
            folder = finished.path.parent
            self.stdout.write(f"to resume: {MANAGE} survey --resume {folder}")
            sys.exit(130)

    def _run(self, options: dict[str, Any]) -> FinishedSurvey:
        if options["resume"]:
            folder = options["resume"]
            return survey.run(
                settings=survey.settings_in(folder=folder), folder=folder, say=self.say
            )
        settings = _settings(options)
        folder = survey.new_folder(settings=settings)
        self.say(f"storing everything in {folder}")
        return survey.run(settings=settings, folder=folder, say=self.say)


def _settings(options: dict[str, Any]) -> SurveySettings:
    try:
        return SurveySettings(
            patterns=shopper.patterns(text=options["patterns"], known=shopper.WITH_CONTROL),
            spots=_all_spots(options["stacks"], options["held_out"]),
            loads=_numbers("--loads", options["loads"], lambda load: load > 0),
            refusals=_numbers("--refusals", options["refusals"], lambda share: 0 <= share < 1),
            seconds=options["seconds"],
            seed=options["seed"],
        )
    except ValueError as error:
        raise CommandError(str(error)) from error


def _all_spots(to_fit: str, to_hold_out: str) -> list[Spot]:
    found = [*_spots(to_fit, is_held_out=False), *_spots(to_hold_out, is_held_out=True)]
    if all(spot.is_held_out for spot in found):
        raise ValueError("--stacks: name at least one")
    names = [f"{spot.steps}:{spot.hop_ms:g}" for spot in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice")
    fitted = [spot for spot in found if not spot.is_held_out]
    return grid.visits(fitted=fitted, held_out=[spot for spot in found if spot.is_held_out])


def _spots(text: str, *, is_held_out: bool) -> list[Spot]:
    found = []
    for stack in [each.strip() for each in text.split(",") if each.strip()]:
        steps, _, hop = stack.partition(":")
        if steps not in STEPS or not 0 <= _number(hop) <= MOST_HOP_MS:
            raise ValueError(
                f"{stack}: a stack is STEPS:MS (like 5:20), with {STEPS[0]} to {STEPS[-1]} steps"
                f" and 0 to {MOST_HOP_MS:g} ms"
            )
        found.append(Spot(steps=int(steps), hop_ms=float(hop), is_held_out=is_held_out))
    return found


def _numbers(name: str, text: str, is_right: Callable[[float], bool]) -> list[float]:
    try:
        found = [float(number) for number in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{name} {text}: numbers with commas between them") from error
    if not all(is_right(number) for number in found):
        raise ValueError(f"{name} {text}: out of range")
    return found


def _number(text: str) -> float:
    """Anything but a number becomes NaN, which is in no range."""
    try:
        return float(text)
    except ValueError:
        return nan


def _named(spots: Sequence[Spot]) -> str:
    return ",".join(f"{spot.steps}:{spot.hop_ms:g}" for spot in spots)
