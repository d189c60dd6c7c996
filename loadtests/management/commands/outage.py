"""`manage.py outage`: stops a participant for a while, under load, in each pattern."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from catalogue import SAGAS
from catalogue.services import PARTICIPANTS
from contracts.projection import services_of
from loadtests.drawing import words
from loadtests.load import shopper
from loadtests.management.explained import MeasuringCommand, add_valued, positive
from loadtests.outages import MeasuredOutages, Outage, OutageSettings, as_figures, run
from loadtests.shop import CHECKOUT

ABOUT = """\
Starts sagas (checkouts, or --saga) at a steady rate, stops a participant (its web and its worker
process), restarts it, and keeps the load up for as long again; then shows for each pattern what was
accepted and refused meanwhile, the backlog, how many calls of the orchestrator failed, and how long
the backlog took to drain. Runs on a fresh stack of its own, and audits it.
"""
COLUMN = 14
LINES = 12
"""At most about this many seconds of a course are shown."""


class Command(MeasuringCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        add = add_valued(parser)
        about = f"the saga to start: {', '.join(sorted(SAGAS))}"
        add("--saga", str, CHECKOUT, about, choices=sorted(SAGAS), metavar="NAME")
        stopped = f"the service to stop: {', '.join(PARTICIPANTS)}"
        add("--participant", str, "pagos", stopped, choices=PARTICIPANTS, metavar="NAME")
        add("--seconds", positive, 60.0, "how long it is stopped")
        add("--rate", positive, 20.0, "sagas per second")
        add("--patterns", str, ",".join(shopper.THE_TWO), f"of {', '.join(shopper.WITH_CONTROL)}")
        parser.add_argument("--json", type=Path, metavar="PATH", help="also write all figures here")

    def handle(self, *args: Any, **options: Any) -> None:
        settings = _settings(options)
        with self.measuring(if_stopped="no result"):
            finished = run(settings=settings, say=self.say)
        self.stdout.write(as_screen(finished=finished))
        if options["json"]:
            options["json"].write_text(json.dumps(as_figures(finished=finished), indent=1))
        if not finished.audit.is_clean:
            raise CommandError(f"The audit found a breach.\n{finished.audit.output}")


def as_screen(*, finished: MeasuredOutages) -> str:
    """The patterns side by side, and the course of each."""
    settings, outages = finished.settings, finished.outages
    rows: list[tuple[str, Sequence[object]]] = [
        ("", [words.short_name_of(outage.pattern) for outage in outages]),
        ("away, until started again (s)", [f"{outage.down.seconds:.1f}" for outage in outages]),
        ("meanwhile: offered", [outage.offered for outage in outages]),
        ("  accepted", [outage.accepted for outage in outages]),
        ("  refused", [outage.refused for outage in outages]),
        ("  ended", [outage.ended for outage in outages]),
        ("highest backlog", [outage.most_backlog for outage in outages]),
        ("time to drain (s)", [f"{outage.drain_seconds:.1f}" for outage in outages]),
        ("never ended", [outage.unfinished for outage in outages]),
        ("failed calls to it (orchestrator)", [outage.down.calls for outage in outages]),
        ("readiness probes", [outage.down.probes for outage in outages]),
    ]
    lines = [f"{settings.participant} away, {settings.rate:g} {settings.saga}s per second", ""]
    lines += [
        f"{name:<35}" + "".join(f"{value!s:>{COLUMN}}" for value in found) for name, found in rows
    ]
    for outage in outages:
        lines += ["", *_course(outage)]
    return "\n".join(lines)


def _course(outage: Outage) -> list[str]:
    every = max(1, len(outage.course) // LINES)
    heading = f"{outage.pattern}, second by second (0: stopped, {outage.down.seconds:.0f}: back)"
    return [
        heading,
        f"{'second':>8}{'accepted':>10}{'refused':>9}{'ended':>8}{'waiting':>9}",
        *(
            f"{at.at:>8}{at.accepted:>10}{at.refused:>9}{at.ended:>8}{at.backlog:>9}"
            for at in outage.course[::every]
        ),
    ]


def _settings(options: dict[str, Any]) -> OutageSettings:
    try:
        patterns = shopper.patterns(text=options["patterns"], known=shopper.WITH_CONTROL)
    except ValueError as error:
        raise CommandError(str(error)) from error
    services = services_of(SAGAS[options["saga"]])
    if options["participant"] not in services:
        raise CommandError(f"--participant: a {options['saga']} needs {', '.join(services)}")
    return OutageSettings(
        patterns=patterns,
        participant=options["participant"],
        seconds=options["seconds"],
        rate=options["rate"],
        seed=secrets.randbelow(10**6),
        saga=options["saga"],
    )
