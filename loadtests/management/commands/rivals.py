"""`manage.py rivals`: the same checkout on DBOS, Temporal and on nothing, beside the patterns."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from loadtests.management.explained import MeasuringCommand, add_seed, add_valued, between
from loadtests.rivals.measuring import LEAST_SECONDS, RivalSettings, run
from loadtests.rivals.report import screen
from loadtests.running.store import as_json

ABOUT = """\
Runs the same checkout (the same SQL, the same durability, on the same PostgreSQL server) in both
patterns of the shop, as a DBOS workflow, as a Temporal workflow (the development server in memory,
and on a file), and as plain transactions without coordination (the floor); and shows how long one
takes alone, how many complete per second at full load, how much CPU one costs, and each pattern's
ratio to each rival with its interval.

`make rivals` installs the rivals into .venv-rivals first. All of them start and end with this run.
They take turns in short windows, in random order; the run ends with the audit of the shop and of
each rival's books: if any is wrong, there is no result. The time left is shown; the report (one
HTML file), all figures as JSON and every sample as CSV are kept in .dueto/reports/.
"""

MOST_SECONDS = 3600.0


class Command(MeasuringCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        timed = (
            "timed seconds of each: 60 %% one at a time, 40 %% at full load, without warm-up,"
            f" drains, start and audit; at least {LEAST_SECONDS:g}"
        )
        at_least = between(LEAST_SECONDS, MOST_SECONDS, unit="s")
        add_valued(parser)("--seconds", at_least, RivalSettings.seconds, timed)
        add_seed(parser, of="the order")
        parser.add_argument(
            "--json", type=Path, metavar="PATH", help="also write all figures to this file"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"] and not options["json"].resolve().parent.is_dir():
            raise CommandError(f"--json {options['json']}: there is no such folder")
        settings = RivalSettings(seconds=options["seconds"], seed=options["seed"])
        with self.measuring(if_stopped="no result"):
            result, path = run(settings=settings, say=self.say)
        if options["json"]:
            options["json"].write_bytes(as_json(result))
        self.stdout.write(f"{screen(result=result)}\n\nreport: {path}")
