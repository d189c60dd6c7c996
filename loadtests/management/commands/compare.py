"""`manage.py compare`: the same checkout in both patterns, measured side by side."""

import secrets
import sys
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from loadtests import report, shopper
from loadtests.generator import GeneratorFailed
from loadtests.plan import Settings
from loadtests.ramp import NotMeasured
from loadtests.run import run
from loadtests.supplies import NotSupplied
from messaging.brokers import BrokerUnavailable
from stack.errors import StackError

ABOUT = """\
Runs the same checkout orchestrated and choreographed on one fresh stack, and shows both side by
side: latency at light load, completed checkouts a second at full load, the cost of a checkout
(CPU by process, writes, WAL, messages, HTTP calls), and how refused checkouts are undone.

The stack (PostgreSQL, broker, all services) is started for this run on free ports and removed
afterwards. Locust sends the checkouts at times that were fixed beforehand (open loop), so a slow
shop is seen as slow; time counts from the intended start to carrito's own row of the outcome. The
patterns alternate in short windows in random order, drained in between. The run ends with the
audit: if it finds a breach, there is no result.

The report, all figures as JSON and every single sample as CSV are kept in .dueto/reports/.
Two minutes and a half with the usual options; docs/benchmarks.md has the method and its limits.
"""


class Command(BaseCommand):
    help = ABOUT

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--patterns", default=",".join(shopper.PATTERNS), help="default: %(default)s")
        add(
            "--seconds",
            type=_positive,
            default=40.0,
            help="timed seconds a pattern: 6 in 10 at light load, 3 at full load, 1 with failures;"
            " warm-up, drains, start and audit come on top (default: %(default)g)",
        )
        add(
            "--rate",
            type=_positive,
            default=25.0,
            help="checkouts a second at light load (default: %(default)g)",
        )
        add(
            "--declined",
            type=_share,
            default=0.2,
            help="share of declined cards in the failures' windows (default: %(default)g)",
        )
        add(
            "--scarce",
            type=_share,
            default=0.1,
            help="share that wants the last unit of a product there (default: %(default)g)",
        )
        add("--seed", type=int, help="of arrival times and order; default: a new one, reported")
        add("--json", type=Path, metavar="PATH", help="also write all figures here")

    def handle(self, *args: Any, **options: Any) -> None:
        settings = _settings(options)
        if options["json"] and not options["json"].resolve().parent.is_dir():
            raise CommandError(f"--json {options['json']}: there is no such folder")
        try:
            finished = run(settings=settings, say=self._say)
        except (StackError, NotSupplied, GeneratorFailed, NotMeasured) as error:
            raise CommandError(str(error)) from error
        except (psycopg.Error, BrokerUnavailable) as error:
            raise CommandError(f"The stack stopped answering: {error}") from error
        except KeyboardInterrupt:
            self._say("stopped: no result")
            sys.exit(130)
        if not finished.comparison.audit.is_clean:
            raise CommandError(
                f"No result: the audit found a breach.\n{finished.comparison.audit.said}\n"
                f"What was measured all the same: {finished.report}"
            )
        if options["json"]:
            options["json"].write_bytes(report.as_json(comparison=finished.comparison))
        self.stdout.write(report.as_screen(comparison=finished.comparison))
        self.stdout.write(f"\nreport: {finished.report}")

    def _say(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()


def _settings(options: dict[str, Any]) -> Settings:
    try:
        patterns = shopper.patterns(text=options["patterns"])
    except ValueError as error:
        raise CommandError(str(error)) from error
    if options["declined"] + options["scarce"] > 1:
        raise CommandError("--declined and --scarce together are more than all checkouts")
    seed = options["seed"] if options["seed"] is not None else secrets.randbelow(10**6)
    return Settings(
        patterns=patterns,
        seconds=options["seconds"],
        rate=options["rate"],
        declined=options["declined"],
        scarce=options["scarce"],
        seed=seed,
    )


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise ValueError
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value
