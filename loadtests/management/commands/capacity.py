"""`manage.py capacity`: what 1,000, 10,000 and 100,000 checkouts per second need."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from loadtests.choosing import capacity, model, sizing
from loadtests.choosing.capacity import Limit
from loadtests.choosing.model import SHIPPED, Model
from loadtests.management.explained import ExplainedCommand, add_valued
from loadtests.surveying.cells import NotASurvey

ABOUT = """\
Shows what 1,000, 10,000 and 100,000 checkouts per second need, in each pattern: how many machines
like the measured one, what they write, which single server becomes the bottleneck first, and how
many units of one product can be sold per second.

  python manage.py capacity --rates 500,5000

It is computed from the survey that comes with Dueto, by its fitted model and a simulation of
queues; their errors on measurements that were not fitted are printed too. What one server can do
is assumed: these are options. docs/explanation/capacity.md has the method.
"""


class Command(ExplainedCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        add = add_valued(parser)
        usual = ",".join(map(str, capacity.RATES))
        add("--rates", _rates, capacity.RATES, "checkouts per second", usual, metavar="N,N")
        for name, what in (
            ("processors", "of one machine"),
            ("wal", "MB per second of WAL that one PostgreSQL writes"),
            ("commits", "per second, of one PostgreSQL"),
            ("messages", "per second, of one RabbitMQ"),
            ("connections", "of one PostgreSQL, without a pooler"),
        ):
            add(f"--{name}", float, getattr(Limit(), name), what)
        parser.add_argument(
            "--fit",
            action="store_true",
            help="fit the simulation again, which takes minutes, and store its parameters",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        limit = Limit(**{name: options[name] for name in Limit.__struct_fields__})
        if wrong := [name for name in Limit.__struct_fields__ if getattr(limit, name) <= 0]:
            raise CommandError(f"--{wrong[0]}: a number above 0 is needed")
        fitted = Model(survey=model.source(named=SHIPPED).survey)
        if options["fit"]:
            capacity.keep(
                {
                    pattern: capacity.fit(survey=fitted.survey, pattern=pattern, say=self.say)
                    for pattern in fitted.patterns
                }
            )
        try:
            works = capacity.kept()
        except NotASurvey as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            sizing.screen(model=fitted, works=works, rates=options["rates"], limit=limit)
        )


def _rates(text: str) -> tuple[int, ...]:
    found = tuple(int(rate) for rate in text.split(","))
    if not found or min(found) <= 0 or len(found) > 3:
        raise ValueError("one to three rates above 0 are needed")
    return found
