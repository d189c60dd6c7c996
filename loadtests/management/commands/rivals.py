"""`manage.py rivals`: the same checkout on DBOS, Temporal and on nothing, beside the patterns."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from loadtests.management.explained import MeasuringCommand, add_seed, add_valued, between
from loadtests.rivals.measuring import LEAST_SECONDS, RivalSettings, as_json, run
from loadtests.rivals.report import screen

ABOUT = """\
Runs the same checkout (the same SQL, the same durability, on the same PostgreSQL server) in both
patterns of the shop, as a DBOS workflow, as a Temporal workflow (the development server in memory,
and on a file), and as plain transactions that nothing coordinates (the floor); and shows how long
one takes alone, how many are completed a second at full load, what one costs in CPU, and each
pattern's ratio to each rival with its interval.

`make rivals` installs the rivals into .venv-rivals first. All of them are started for this run and
end with it. They take turns in short windows, in random order; the run ends with the audit of the
shop and of each rival's books: if any is wrong, there is no result. It says how long it has to
go; the report (one HTML file), all figures as JSON and every sample as CSV are kept in
.dueto/reports/.
"""

MOST_SECONDS = 3600.0


class Command(MeasuringCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        timed = (
            "timed seconds of each: 6 in 10 one at a time, 4 at full load; warm-up, drains, start"
            f" and audit come on top; at least {LEAST_SECONDS:g}"
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
            options["json"].write_bytes(as_json(result=result))
        self.stdout.write(f"{screen(result=result)}\n\nreport: {path}")
