"""`manage.py sagas explore`: its options, and its output."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.test.utils import setup_databases, teardown_databases
from django.utils.module_loading import import_string

from catalogue import SAGAS
from catalogue.services import BY_NAME
from checker.explorer.exploring import (
    MOST_DEVIATIONS,
    Exploration,
    Explored,
    FailingSchedule,
    explore_in_processes,
)
from checker.explorer.scheduling import (
    Deviations,
    GivenChoices,
    Played,
    Player,
    read,
    written,
)
from contracts.patterns import PATTERNS

Write = Callable[[str], object]
ENVIRONMENTS = "checker.explorer.sagas.environments.in_memory"
ON_POSTGRES = "checker.explorer.sagas.postgres.on_postgres"
TELL_SECONDS = 5.0


def add_explore(parser: CommandParser) -> None:
    """The options of `explore`."""
    parser.add_argument("--pattern", choices=PATTERNS, help="only this pattern (default: all)")
    parser.add_argument("--saga", choices=SAGAS, help="only this saga (default: all)")
    parser.add_argument(
        "--schedules",
        type=int,
        default=100_000,
        help="how many different schedules, in all (default: %(default)d)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random schedules")
    parser.add_argument(
        "--faults",
        type=int,
        default=MOST_DEVIATIONS,
        help="play all schedules with up to this many deviations that fit; the rest is random",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--postgres",
        action="store_true",
        help="with the real SQL, on test databases made for it: 10 schedules a second",
    )
    parser.add_argument("--replay", metavar="LINE", help="print one schedule step by step")
    parser.add_argument(
        "--environments",
        default=ENVIRONMENTS,
        help="the function that makes the environments, as a dotted name",
    )


def explore(*, options: Mapping[str, Any], write: Write) -> int:
    """Explores, or replays one schedule. Returns 1 for a breach, 2 for a wrong line or for a
    definition that names an unknown service.
    """
    if unknown := _unregistered(options["environments"]):
        write(f"can't be explored: {unknown}: see manage.py sagas check")
        return 2
    if options["replay"] is not None:
        return _replay(options["replay"], options["environments"], write)
    started = time.monotonic()
    work = Exploration(
        environments=options["environments"],
        names=_names(options["pattern"], options["saga"]),
        schedules=options["schedules"],
        seed=options["seed"],
        deviations=options["faults"],
    )
    tell = _telling(write, started)
    if options["postgres"]:
        explored = _on_postgres(work, tell)
    else:
        explored = explore_in_processes(work=work, workers=options["workers"], tell=tell)
    for line in summary(explored=explored, seconds=time.monotonic() - started):
        write(line)
    return int(explored.failure is not None)


def _unregistered(environments: str) -> str:
    """Names the services in the catalogue's definitions that are not registered, or is empty."""
    named = {step.service for saga in SAGAS.values() for step in saga.steps}
    unknown = ", ".join(sorted(named - BY_NAME.keys()))
    return (
        f"no service {unknown} (catalogue/services.py)"
        if unknown and environments == ENVIRONMENTS
        else ""
    )


def _names(pattern: str | None, saga: str | None) -> str:
    return f"{pattern or '*'}/{saga or '*'}/*" if pattern or saga else "*"


def _on_postgres(work: Exploration, tell: Callable[[Sequence[Explored]], None]) -> Explored:
    """Explores in this process only, as the databases are emptied for each schedule."""
    before = setup_databases(verbosity=0, interactive=False)
    logging.disable(logging.CRITICAL)
    try:
        with import_string(ON_POSTGRES)() as environments:
            return work.explorer(environments, lambda explored: tell([explored])).explore()
    finally:
        logging.disable(logging.NOTSET)
        teardown_databases(before, verbosity=0)


def _replay(line: str, environments: str, write: Write) -> int:
    """Prints a schedule step by step. Returns 1 for a breach at its end, 2 if the line names no
    environment, is no schedule, or contains a choice that does not exist.
    """
    name, _, text = line.strip().partition(" ")
    logging.disable(logging.CRITICAL)
    try:
        with import_string(environments)() as made:
            given = read(text)
            if name not in made:
                raise ValueError(f"there is no environment {name!r}; there are {', '.join(made)}")
            write(f"{name}: each step, the state after it, and [faults] in brackets")
            played = Player(environment=made[name], chooser=GivenChoices(given), tell=write).play()
    except ValueError as error:
        write(str(error))
        return 2
    finally:
        logging.disable(logging.NOTSET)
    for breach in played.breaches or ["nothing"]:
        write(f"BROKEN: {breach}")
    not_taken = list(_not_taken(given, played))
    for what in not_taken:
        write(what)
    return 1 if played.breaches else 2 * bool(not_taken)


def _not_taken(given: Deviations, played: Played) -> Iterator[str]:
    """The choices of the line that did not exist."""
    for step, option in sorted(given.items()):
        if option and step >= played.steps:
            yield f"step {step} was never reached: there were {played.steps}"
        elif option and step not in played.deviations:
            yield f"step {step} has no option {option}"


def summary(*, explored: Explored, seconds: float) -> list[str]:
    """The result in lines; the last line replays the failure, if there is one."""
    count = len(explored.keys)
    lines = [
        f"{count} different schedules ({explored.played} played, {explored.steps} steps)"
        f" in {seconds:.1f} s: {explored.played / max(seconds, 0.001):.0f}/s",
        "Schedules with each kind of fault:",
        *(f"  {kind:<40} {n:>8}" for kind, n in sorted(explored.kinds.items())),
        "Every schedule up to this many deviations from the undisturbed one:",
        *(
            f"  {environment:<40} {level:>8}"
            for environment, level in sorted(explored.levels.items())
        ),
    ]
    failure = explored.failure
    if failure is None:
        return [*lines, "0 breaches"]
    found = [f"BROKEN in {failure.environment}: {breach}" for breach in failure.breaches]
    return [*lines, *found, replay_line(failure)]


def replay_line(failure: FailingSchedule) -> str:
    """The command that replays a failure."""
    schedule = f"{failure.environment} {written(failure.deviations)}".strip()
    return f"manage.py sagas explore --replay '{schedule}'"


def _telling(write: Write, started: float) -> Callable[[Sequence[Explored]], None]:
    """Writes a line every few seconds."""
    next_at = started + TELL_SECONDS

    def tell(parts: Sequence[Explored]) -> None:
        nonlocal next_at
        now = time.monotonic()
        if now >= next_at:
            next_at = now + TELL_SECONDS
            played, seconds = sum(part.played for part in parts), now - started
            write(f"{seconds:6.1f} s  {played:>8} schedules  {played / seconds:6.0f}/s")

    return tell
