"""`manage.py choose`: which pattern to choose for a saga, network and load."""

from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from loadtests.choosing import deciding, model, screen
from loadtests.choosing.deciding import Recommendation
from loadtests.choosing.laws import OutOfRange, situation
from loadtests.choosing.model import Model, SurveySource, machines
from loadtests.management.explained import ExplainedCommand, add_valued, milliseconds
from loadtests.surveying.cells import NotASurvey

ABOUT = """\
Recommends a pattern for a number of steps, a network, a share of refusals and a load: which is
faster, which is cheaper, by how much, where that turns around, and what it costs.

  python manage.py choose --steps 7 --hop 5ms --refusals 0.05 --load 40

The answer is computed, in a second, from a model fitted to measurements of the checkout; it applies
to sagas that are similar. The model's error on measurements that were not fitted is printed too. A
difference within that error is "not decided".

The measurements are those of a survey: your own newest one (`manage.py survey`, 15 minutes), or
else the one that comes with Dueto, made on a machine that it names. Ratios carry over to another
machine better than milliseconds do. docs/explanation/choosing.md has the method.
"""


class Command(ExplainedCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        add = add_valued(parser)
        steps = "of the saga, 3 to 8; 3 and 4 are extrapolated"
        add("--steps", int, 5, steps, "%(default)s, the checkout's")
        hop = "delay between services, and between services and broker, one way, 0 to 50 ms"
        add("--hop", milliseconds, 0.0, hop, "%(default)g, one machine", metavar="5ms")
        refused = "share of declined cards, whose checkouts are undone, 0 to 1"
        add("--refusals", float, 0.0, refused)
        add("--load", float, 25.0, "checkouts per second")
        own = "your newest complete survey, else the shipped one"
        add("--survey", Path, None, "answer from this survey", own, metavar="DIR")
        for name, about in (
            ("--json", "the whole answer as JSON"),
            ("--explain", "also print the model: each law's parameters"),
        ):
            parser.add_argument(name, action="store_true", help=about)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            asked = situation(
                steps=options["steps"],
                hop_ms=options["hop"],
                refusals=options["refusals"],
                load=options["load"],
            )
            source = model.source(named=options["survey"])
            fitted = Model(survey=source.survey)
        except (OutOfRange, NotASurvey) as error:
            raise CommandError(str(error)) from error
        found = deciding.answer(model=fitted, situation=asked)
        if options["json"]:
            self.stdout.write(_as_json(found, fitted, source))
            return
        self.stdout.write(screen.screen(answer=found, model=fitted, source=source))
        if options["explain"]:
            self.stdout.write("\n" + screen.explained(model=fitted))


def _as_json(answer: Recommendation, fitted: Model, source: SurveySource) -> str:
    """An infinite latency (the load is above the capacity) is null."""
    plain = {
        **msgspec.to_builtins(answer),
        "take": answer.taken,
        "survey": {
            "source": source.label,
            "made_at": fitted.survey.made_at,
            "seed": fitted.survey.settings.seed,
            "machines": list(machines(survey=fitted.survey)),
        },
    }
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()
