"""`manage.py compare`: the same saga in both patterns, measured side by side."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from catalogue import SAGAS
from loadtests.comparing import FinishedRun, new_folder, resume, run
from loadtests.drawing import differences, gate, page, screen, stored
from loadtests.drawing.stored import NotARun
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.conditions import Condition, ConditionState, condition, expanded, judge
from loadtests.evaluating.quantities import NAMED
from loadtests.load import shopper
from loadtests.load.plan import RunSettings
from loadtests.management.explained import MeasuringCommand, add_seed, add_valued, between, positive
from loadtests.running.store import NoStoredRun, Store, as_json
from loadtests.shop import CHECKOUT, MOST_STEPS, OWN_STEPS
from stack.folders import MANAGE

ABOUT = """\
Runs the same saga (the checkout, or --saga) orchestrated and choreographed on one fresh stack, and
shows both side by side: latency at light load, completed sagas per second at full load, the cost of
a saga (CPU by process, writes, WAL, messages, HTTP calls), and how refused sagas are undone.

The stack (PostgreSQL, broker, all services) is started for this run on free ports and removed
afterwards. Locust sends the checkouts at times that were fixed beforehand (open loop), so delays
are not hidden; time counts from the intended start until the outcome is stored. The patterns
alternate in short windows in random order, drained in between. The run ends with the audit: if it
finds a breach, there is no result.

The report (one HTML file), all figures as JSON and every sample as CSV are kept in .dueto/reports/;
`--report DIR` re-renders a stored run. `orchestrated_messaging` is a control: the first pattern's
orchestrator, but over messages: it separates the cost of transport from the cost of coordination.
`monolith` is the baseline: the same checkout in one local transaction, without a saga; a run with
it has all services' tables in one database. A run takes three minutes by default;
docs/explanation/benchmarks.md has the method and its limits.

`--fail-if` makes the command fail on a condition, also for a stored run (`--report DIR`, or
`diff A B`, which compares B with A): docs/how-to/gate-a-pipeline.md.

  python manage.py compare --fail-if 'p95>300ms' --fail-if 'completed/s<100'
  python manage.py compare --report DIR --against BASELINE --fail-if 'p50>1.2x'

Exit status: 0 success, 1 no result (the audit found a breach, or the stack failed), 2 refused
before anything was started, 3 a condition fails, 4 none fails but one is not decided, 130 stopped.
"""

NO_RESULT, REFUSED, FAILED, UNDECIDED, STOPPED = 1, 2, 3, 4, 130

MOST_HOP_MS = 50.0
MOST_INJECTED_MS = 10_000.0
MOST_WORKERS = 16
MOST_ZIPF = 3.0
"""Then 8 in 10 want the same product."""


class CannotCompare(CommandError):
    """The options can't be used; nothing was started."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=REFUSED)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The conditions of a run, and the files for their verdicts."""

    conditions: Sequence[Condition]
    against: Comparison | None
    junit: Path | None
    markdown: Path | None

    def hold(self, *, run: Comparison) -> tuple[str, int]:
        """The verdicts as text, and the exit status; writes the files."""
        every = judge(conditions=self.conditions, run=run, against=self.against)
        warnings = gate.warnings_of_baseline(run=run, against=self.against)
        if self.junit:
            self.junit.write_bytes(gate.junit(every=every, run=run))
        if self.markdown:
            self.markdown.write_text(gate.markdown(every=every, run=run, warnings=warnings))
        if not every:
            return "", 0
        found = {judgement.standing for judgement in every}
        undecided = UNDECIDED if run.audit.is_clean else NO_RESULT
        status = undecided if ConditionState.UNDECIDED in found else 0
        message = gate.lines(every=every, warnings=warnings)
        return message, FAILED if ConditionState.FAILS in found else status


class Command(MeasuringCommand):
    help = ABOUT

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "words",
            nargs="*",
            metavar="diff A B",
            help="measure nothing: compare the runs stored in the folders A and B",
        )
        self._add_load(parser)
        self._add_kind_of_run(parser)
        self._add_stored(parser)

    def _add_load(self, parser: CommandParser) -> None:
        """Options of the load."""
        add = add_valued(parser)
        about = f"the saga to measure: {', '.join(sorted(SAGAS))}"
        add("--saga", str, CHECKOUT, about, choices=sorted(SAGAS), metavar="NAME")
        two, three = (",".join(some) for some in (shopper.THE_TWO, shopper.WITH_CONTROL))
        there = f"of {', '.join(shopper.PATTERNS)}"
        add("--patterns", str, None, there, f"{two}; with --full {three}")
        timed = (
            "timed seconds per pattern: 60 %% at light load, 30 %% at full load, 10 %% with"
            " failures; without warm-up, drains, start and audit"
        )
        add("--seconds", positive, RunSettings.seconds, timed)
        add("--rate", positive, RunSettings.rate, "checkouts per second at light load")
        share = between(0, 1)
        declined = "share of declined cards in the windows with failures"
        add("--declined", share, RunSettings.declined, declined)
        scarce = "share that competes for the last unit of a product there"
        add("--scarce", share, RunSettings.scarce, scarce)
        popular = "some products are popular: demand for the n-th is 1 / n to this power"
        alike = "all alike; a full run has windows with 0.99"
        add("--zipf", between(0, MOST_ZIPF), 0.0, popular, alike, metavar="0.99")
        shared = (
            "processes of Locust that share the schedule, if one can't send fast enough; at most"
            f" {MOST_WORKERS}"
        )
        add("--workers", _workers, 1, shared, metavar="N")
        add_seed(parser, of="arrival times and order")

    def _add_kind_of_run(self, parser: CommandParser) -> None:
        """Options of the shop, and of the kind of run."""
        add = add_valued(parser)
        apart = (
            "add this one-way delay between services and broker, for HTTP and for messages"
            f" alike; at most {MOST_HOP_MS:g} ms"
        )
        hop = between(0, MOST_HOP_MS, unit="ms")
        add("--hop", hop, 0.0, apart, "none", metavar="5ms")
        longer = (
            f"steps of the checkout after its acceptance: its own {OWN_STEPS}, or up to"
            f" {MOST_STEPS} with padding steps, which change nothing"
        )
        add("--steps", _steps, OWN_STEPS, longer, metavar="N")
        parser.add_argument(
            "--full",
            action="store_true",
            help="planned for at most 35 minutes (45 for four patterns): also finds each pattern's"
            " knee, and has loads below it, a hot product, a participant that is frozen or away,"
            " and narrower intervals",
        )
        parser.add_argument(
            "--aa",
            action="store_true",
            help="compare the first pattern with itself: no difference should be found",
        )
        parser.add_argument(
            "--inject",
            type=between(0.001, MOST_INJECTED_MS, unit="ms"),
            metavar="2ms",
            default=0.0,
            help="compare the first pattern with itself, with this delay of payments in one of the"
            " two: the difference should be found",
        )
        parser.add_argument(
            "--auth",
            action="store_true",
            help="compare the first pattern with itself, in a shop without authentication and in"
            " one with it: the cost of authentication",
        )

    def _add_stored(self, parser: CommandParser) -> None:
        """Options of stored runs and of output."""
        for name, metavar, about in (
            ("--resume", "DIR", "resume a stopped run: its folder in .dueto/reports"),
            ("--report", "DIR", "measure nothing: re-render report.html of the run stored here"),
            ("--json", "PATH", "also write all figures to this file"),
            ("--against", "DIR", "the stored run that conditions like 'p50>1.2x' are relative to"),
            ("--junit", "PATH", "also write the conditions to this file, a test case each"),
            ("--markdown", "PATH", "also write the result to this file, for a pull request"),
        ):
            parser.add_argument(name, type=Path, metavar=metavar, help=about)
        parser.add_argument(
            "--fail-if",
            type=_condition,
            action="append",
            default=[],
            metavar="'p95>300ms'",
            help="exit with status 3 if this is true; can be repeated. [PATTERN.]FIGURE, > or <,"
            f" and a limit: 300ms, 100/s, 1.2x (times the run of --against), 1.2x PATTERN. {NAMED}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["words"]:
                self._differences(options)
            elif options["report"]:
                run = stored.read(folder=options["report"])
                held = _gate(options, run.settings)
                self._show(page.draw(folder=options["report"]), held)
            else:
                self._compare(options)
        except (NotARun, NoStoredRun) as error:
            raise CannotCompare(str(error)) from error

    def _differences(self, options: dict[str, Any]) -> None:
        asked = options["words"]
        if asked[0] != "diff" or len(asked) != 3:
            raise CannotCompare("Unknown arguments. To compare two stored runs: compare diff A B")
        if options["against"]:
            raise CannotCompare("--against: diff A B already compares B with A")
        before, after = (stored.read(folder=Path(name)) for name in asked[1:])
        held = _gate({**options, "against": Path(asked[1])}, after.settings)
        self.stdout.write(differences.differences(before=before, after=after))
        self._end(*held.hold(run=after))

    def _compare(self, options: dict[str, Any]) -> None:
        folder = options["resume"]
        settings = Store(folder=folder).settings() if folder else _settings(options)
        held = _gate(options, settings)
        with self.measuring(if_stopped="no result"):
            finished = self._run(options, settings)
        if not finished.comparison.audit.is_clean:
            held.hold(run=finished.comparison)
            raise CommandError(
                f"No result: the audit found a breach.\n{finished.comparison.audit.output}\n"
                f"What was measured: {finished.report}"
            )
        if options["json"]:
            options["json"].write_bytes(as_json(finished.comparison))
        if not finished.comparison.was_stopped:
            self._show(finished.report, held)
            return
        with suppress(SystemExit):
            self._show(finished.report, held)
        self.stdout.write(f"to resume: {MANAGE} compare --resume {finished.report.parent}")
        sys.exit(STOPPED)

    def _show(self, path: Path, held: Gate) -> None:
        run = stored.read(folder=path.parent)
        headline, _, figures = screen.screen(run=run).partition("\n")
        style = self.style.SUCCESS if run.is_valid else self.style.ERROR
        self.stdout.write(f"{style(headline)}\n{figures}\n\nreport: {path}")
        self._end(*held.hold(run=run))

    def _end(self, message: str, status: int) -> None:
        """Ends the command if a condition does not hold."""
        if message:
            headline, _, conditions = message.partition("\n")
            style = self.style.ERROR if status else self.style.SUCCESS
            self.stdout.write(f"\n{style(headline)}\n{conditions}")
        if status:
            sys.exit(status)

    def _run(self, options: dict[str, Any], settings: RunSettings) -> FinishedRun:
        if options["resume"]:
            return resume(folder=options["resume"], say=self.say)
        folder = new_folder(settings=settings)
        return run(settings=settings, folder=folder, known=[], say=self.say)


def _condition(text: str) -> Condition:
    try:
        return condition(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _gate(options: dict[str, Any], settings: RunSettings) -> Gate:
    """The conditions of a run with these settings. Raises CannotCompare, NotARun."""
    for name in ("json", "junit", "markdown"):
        if options[name] and not options[name].resolve().parent.is_dir():
            raise CannotCompare(f"--{name} {options[name]}: there is no such folder")
    against = stored.read(folder=options["against"]) if options["against"] else None
    if options["junit"] and not options["fail_if"]:
        raise CannotCompare("--junit: name at least one condition, with --fail-if")
    try:
        conditions = expanded(
            conditions=options["fail_if"],
            patterns=settings.patterns,
            is_full=settings.is_full,
            against=against,
        )
    except ValueError as error:
        raise CannotCompare(f"--fail-if {error}") from error
    return Gate(
        conditions=conditions,
        against=against,
        junit=options["junit"],
        markdown=options["markdown"],
    )


def _settings(options: dict[str, Any]) -> RunSettings:
    usual = ",".join(shopper.WITH_CONTROL if options["full"] else shopper.THE_TWO)
    try:
        patterns = _arms(shopper.patterns(text=options["patterns"] or usual), options)
    except ValueError as error:
        raise CannotCompare(str(error)) from error
    if options["saga"] != CHECKOUT:
        _check_saga(patterns, options)
    if options["declined"] + options["scarce"] > 1:
        raise CannotCompare("--declined and --scarce together are more than all checkouts")
    same = ("seconds", "rate", "declined", "scarce", "seed", "zipf", "steps", "saga", "workers")
    return RunSettings(
        patterns=patterns,
        is_full=options["full"],
        hop_ms=options["hop"],
        **{name: options[name] for name in same},
    )


def _check_saga(patterns: list[str], options: dict[str, Any]) -> None:
    """Raises CannotCompare for options that only a checkout has."""
    saga = options["saga"]
    if any(step.decided_by for step in SAGAS[saga].steps):
        raise CannotCompare(f"--saga: a {saga} waits for people, which can't be measured")
    if options["steps"] != OWN_STEPS:
        raise CannotCompare(f"--steps: only a checkout can be padded, not a {saga}")
    if shopper.MONOLITH in [shopper.pattern_of(arm=pattern) for pattern in patterns]:
        raise CannotCompare(f"--patterns: the monolith does checkouts only, not a {saga}")


def _arms(patterns: list[str], options: dict[str, Any]) -> list[str]:
    """The patterns, or the first one twice."""
    if options["auth"]:
        if options["aa"] or options["inject"] or options["full"]:
            raise CannotCompare("--auth can't be combined with --aa, --inject and --full")
        return shopper.asked(pattern=patterns[0])
    if not options["aa"] and not options["inject"]:
        return patterns
    return shopper.twice(pattern=patterns[0], delay_ms=options["inject"])


def _workers(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST_WORKERS:
        raise ArgumentTypeError(f"{value} is not 1 to {MOST_WORKERS}")
    return value


def _steps(text: str) -> int:
    value = int(text)
    if not OWN_STEPS <= value <= MOST_STEPS:
        raise ArgumentTypeError(
            f"{value} can't be measured: the checkout has {OWN_STEPS} steps of its own, all needed,"
            f" and takes up to {MOST_STEPS - OWN_STEPS} more"
        )
    return value
