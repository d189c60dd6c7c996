"""`manage.py capacity`: what it takes to do 1,000, 10,000 and 100,000 checkouts a second."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from loadtests.choosing import capacity, model, sizing
from loadtests.choosing.capacity import Limit
from loadtests.choosing.model import SHIPPED, Model
from loadtests.management.explained import ExplainedCommand, add_valued
from loadtests.surveying.cells import NotASurvey

ABOUT = """\
Says what 1,000, 10,000 and 100,000 checkouts a second take, in each pattern: how many machines like
the one that was measured, what they write, what breaks first where it is kept in one place,
and how many a second of one product can be sold.

  python manage.py capacity --rates 500,5000

It is computed from the survey that comes with Dueto, by its fitted model and a simulation of
queues; how far off that was where it was not fitted is printed with it. What one server can do is
assumed, and an option. docs/explanation/capacity.md has the method.
"""


class Command(ExplainedCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        add = add_valued(parser)
        usual = ",".join(map(str, capacity.RATES))
        add("--rates", _rates, capacity.RATES, "checkouts a second", usual, metavar="N,N")
        for name, what in (
            ("processors", "of one machine"),
            ("wal", "MB a second of WAL that one PostgreSQL writes"),
            ("commits", "a second, of one PostgreSQL"),
            ("messages", "a second, of one RabbitMQ"),
            ("connections", "of one PostgreSQL, without a pooler"),
        ):
            add(f"--{name}", float, getattr(Limit(), name), what)
        parser.add_argument(
            "--fit",
            action="store_true",
            help="fits the simulation anew, which takes minutes, and keeps what it found",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        limit = Limit(**{name: options[name] for name in Limit.__struct_fields__})
        if wrong := [name for name in Limit.__struct_fields__ if getattr(limit, name) <= 0]:
            raise CommandError(f"--{wrong[0]}: a number above 0 is needed")
        fitted = Model(survey=model.source(named=SHIPPED).survey)
        if options["fit"]:
            found = {
                it: capacity.fit(survey=fitted.survey, pattern=it, say=self.say)
                for it in fitted.patterns
            }
            capacity.keep(found)
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
