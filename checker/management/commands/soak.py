"""`manage.py soak`: load with faults from a seed, then checks for lost or duplicated work."""

import json
import secrets
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from catalogue import SAGAS
from checker.soak import results
from checker.soak.results import Round, SoakSettings
from checker.soak.rounds import soak
from contracts.patterns import PATTERNS
from loadtests.faults.plan import FaultKind
from loadtests.load import shopper
from loadtests.load.workload import NotSupplied
from loadtests.management.explained import ExplainedCommand, positive
from loadtests.shop import CHECKOUT
from stack.console import StackError

ABOUT = """\
Runs load on a fresh stack while its processes, PostgreSQL and RabbitMQ are killed, paused and
restarted, connections are cut, queues purged or taken over, rows locked, databases made read-only,
columns changed, foreign messages sent, and messages and requests repeated: one pattern after the
other, each on a separate stack. The faults and their times follow from the seed.

Then every saga must end within 60 s, the audit must be clean, and each answer to a shopper must
agree with the owner's table. Exit status 1 if not, 130 after Ctrl-C (which ends load and faults,
and then still drains and checks).
"""


class Command(ExplainedCommand):
    help = ABOUT
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        every_kind = ",".join(FaultKind)
        add("--saga", choices=SAGAS, default=CHECKOUT, help="of the catalogue (%(default)s)")
        add("--minutes", type=positive, default=2.0, help="per pattern (default: %(default)g)")
        add("--rate", type=positive, default=50.0, help="sagas a second (%(default)g)")
        add("--patterns", type=_patterns, default=",".join(shopper.THE_TWO), help="%(default)s")
        add("--faults", type=_kinds, default=every_kind, help="default: %(default)s")
        add(
            "--every",
            type=positive,
            default=4.0,
            help="mean seconds from one fault to the next (default: %(default)g)",
        )
        add("--seed", type=int, help="of faults and load; default: a new one, reported")
        add("--json", type=Path, metavar="PATH", help="also write all figures here")

    def handle(self, *args: Any, **options: Any) -> None:
        settings = _settings(options)
        if options["json"] and not options["json"].resolve().parent.is_dir():
            raise CommandError(f"--json {options['json']}: there is no such folder")
        self.say(results.repeating(settings=settings))
        try:
            rounds = self._rounds(settings)
        except (StackError, NotSupplied) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.say("stopped before there was anything to check")
            sys.exit(130)
        if options["json"]:
            figures = results.as_json(settings=settings, rounds=rounds)
            options["json"].write_text(json.dumps(figures, indent=2))
        self.stdout.write(results.as_text(settings=settings, rounds=rounds))
        if any(round_.breaches for round_ in rounds):
            sys.exit(1)
        if rounds[-1].is_interrupted:
            sys.exit(130)

    def _rounds(self, settings: SoakSettings) -> list[Round]:
        found: list[Round] = []
        for pattern in settings.patterns:
            found.append(soak(pattern=pattern, settings=settings, say=self.say))
            if found[-1].is_interrupted:
                break
        return found


def _settings(options: dict[str, Any]) -> SoakSettings:
    seed = options["seed"] if options["seed"] is not None else secrets.randbelow(10**6)
    return SoakSettings(
        saga=SAGAS[options["saga"]],
        patterns=options["patterns"],
        seconds=options["minutes"] * 60,
        rate=options["rate"],
        seed=seed,
        kinds=options["faults"],
        every=options["every"],
    )


def _patterns(text: str) -> list[str]:
    return _listed(text, PATTERNS, "pattern")


def _kinds(text: str) -> list[FaultKind]:
    """From "one,other"."""
    names = _listed(text, FaultKind, "fault")
    return [FaultKind(name) for name in names]


def _listed(text: str, known: Iterable[str], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in set(known):
            raise ArgumentTypeError(f"unknown {what} {name!r}; choose from {', '.join(known)}")
    return names
