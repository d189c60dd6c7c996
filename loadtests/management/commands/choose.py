"""`manage.py choose`: which pattern to take for one's own saga, network and load."""

from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from loadtests.choosing import deciding, screen, surveys
from loadtests.choosing.deciding import Answer
from loadtests.choosing.model import Model
from loadtests.choosing.situations import OutOfRange, situation
from loadtests.choosing.surveys import Source
from loadtests.management.explained import ExplainedCommand
from loadtests.surveying.cells import NotASurvey

ABOUT = """\
Says which pattern to take for a saga of so many steps, a network, a share of refusals and a load:
which is faster, which is cheaper, by how much, where that turns around, and what it costs.

  python manage.py choose --steps 7 --hop 5ms --refusals 0.05 --load 40

The answer is computed, in a second, from a model fitted to measured cells, all of the checkout, and
of other sagas only as far as they are like it; how far off it was on
cells that it had not seen is printed with it. A difference within that error is "not decided".
Measured where? On the machine of the survey: your own newest one (`manage.py survey`, a quarter
of an hour), or else the one that comes with Dueto, of a machine that it names. Proportions carry
over to another machine better than milliseconds do. docs/choosing.md has the method and its limits.
"""


class Command(ExplainedCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "--steps",
            type=int,
            default=5,
            help="of the saga, 3 to 8; 3 and 4 are extrapolated (default: %(default)s, the"
            " checkout's)",
        )
        add(
            "--hop",
            type=_milliseconds,
            metavar="5ms",
            default=0.0,
            help="delay between services, and between services and broker, one way, 0 to 50 ms"
            " (default: %(default)g, one machine)",
        )
        add(
            "--refusals",
            type=float,
            default=0.0,
            help="share of declined cards, which are undone, 0 to 1 (default: %(default)g)",
        )
        add("--load", type=float, default=25.0, help="checkouts a second (default: %(default)g)")
        add(
            "--survey",
            type=Path,
            metavar="DIR",
            help="answer from this one (default: your newest whole one, else the shipped one)",
        )
        add("--json", action="store_true", help="all of the answer, for scripts")
        add("--explain", action="store_true", help="also print the model: each law's parameters")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            asked = situation(
                steps=options["steps"],
                hop_ms=options["hop"],
                refusals=options["refusals"],
                load=options["load"],
            )
            source = surveys.source(named=options["survey"])
            model = Model(survey=source.survey)
        except (OutOfRange, NotASurvey) as error:
            raise CommandError(str(error)) from error
        found = deciding.answer(model=model, situation=asked)
        if options["json"]:
            self.stdout.write(_as_json(found, model, source))
            return
        self.stdout.write(screen.screen(answer=found, model=model, source=source))
        if options["explain"]:
            self.stdout.write("\n" + screen.explained(model=model))


def _as_json(answer: Answer, model: Model, source: Source) -> str:
    """An infinite latency (more than the pattern can take) is null."""
    plain = {
        **msgspec.to_builtins(answer),
        "take": answer.taken,
        "survey": {
            "said": source.said,
            "made_at": model.survey.made_at,
            "seed": model.survey.settings.seed,
            "machines": list(surveys.machines(survey=model.survey)),
        },
    }
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()


def _milliseconds(text: str) -> float:
    return float(text.removesuffix("ms"))
