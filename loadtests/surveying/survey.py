"""A survey: a stack for each spot, one after the other, with its cells and an audit.

Its folder has `settings.json`; a folder per stack with its windows and every checkout
(running/store.py) and, once it is audited, `stack.json`; and `survey.json`, rewritten after each
stack.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from catalogue.checkout import PADDING
from loadtests.evaluating import caveats
from loadtests.evaluating.results import Measured, figures
from loadtests.load.windows import (
    AUDIT_SECONDS,
    START_SECONDS,
    Remaining,
    Window,
    WindowPhase,
    as_minutes,
)
from loadtests.measuring import machine
from loadtests.running.bench import own_stack, run_audit, runner_on
from loadtests.running.runner import Done, Say, WindowRunner, progress
from loadtests.running.store import StoredWindows
from loadtests.shop import OWN_STEPS, shop_of
from loadtests.surveying import cells, grid
from loadtests.surveying.cells import UNITS, NotASurvey, Rest, Stack, Survey, cell_of, rest_of
from loadtests.surveying.grid import Spot, SurveySettings
from stack.folders import MEASURED, STATE_FOLDER
from stack.local import LocalStack

SURVEYS = STATE_FOLDER / MEASURED[1]
SETTINGS, STACK = "settings.json", "stack.json"


@dataclass
class Ahead:
    """What a survey still has to measure, and its estimated duration."""

    settings: SurveySettings
    spots: list[Spot]
    remaining: Remaining = field(default_factory=Remaining)

    def left(self, *, windows: Sequence[Window]) -> str:
        """With these windows of the current stack, and all windows of the others, still to run."""
        to_come = list(windows)
        for spot in self.spots:
            to_come += grid.windows(settings=self.settings, spot=spot)
        around = AUDIT_SECONDS + len(self.spots) * (START_SECONDS + AUDIT_SECONDS)
        seconds = self.remaining.seconds(to_come=to_come) + around
        return f"{as_minutes(seconds=seconds)} left"


@dataclass(frozen=True, kw_only=True)
class MeasuredStack:
    """What the idle stack uses, and whether the survey was stopped on it."""

    rest: Rest
    was_stopped: bool


def measure(
    *, runner: WindowRunner, spot: Spot, ahead: Ahead, done: Done, say: Say
) -> MeasuredStack:
    """Measures all windows of this spot on its stack, and passes each to `done`.

    On Ctrl-C it drains and returns; KeyboardInterrupt if there was no cell yet. Raises NotSupplied,
    GeneratorFailed, NotMeasured.
    """
    rest = rest_of(cost=runner.measure_rest())
    seen: list[Measured] = []
    try:
        _windows(runner, spot, ahead, seen, done, say)
    except KeyboardInterrupt:
        if not any(cell_of(measured=window) for window in seen):
            raise
        say("stopping: draining, auditing and keeping what was measured")
        runner.close()
        return MeasuredStack(rest=rest, was_stopped=True)
    return MeasuredStack(rest=rest, was_stopped=False)


def _windows(
    runner: WindowRunner, spot: Spot, ahead: Ahead, seen: list[Measured], done: Done, say: Say
) -> None:
    planned = grid.windows(settings=ahead.settings, spot=spot)
    for window in _in_order(planned, ahead.settings.patterns, seen):
        began = time.monotonic()
        measured = runner.measure(
            window=_with_rate(window, ahead.settings.patterns, seen), seen=seen
        )
        done(measured)
        seen.append(measured)
        ahead.remaining.add(window=window, took=time.monotonic() - began)
        left = ahead.left(windows=_without(planned, seen))
        of = max(len(planned), window.number)
        say(f"{progress(measured, of=of)}; {left}")


def _in_order(
    planned: Sequence[Window], patterns: Sequence[str], seen: Sequence[Measured]
) -> Iterator[Window]:
    """The planned windows, and before the first cell more full load for a pattern that has kept up
    so far, as some cells are shares of what the patterns can do. `seen` grows meanwhile."""
    yield from [window for window in planned if window.phase is not WindowPhase.CELL]
    every = list(planned)
    for _ in range(grid.FURTHER):
        for pattern in cells.unsaturated(patterns=patterns, seen=seen):
            every.append(grid.further(after=every, pattern=pattern))
            yield every[-1]
    yield from [window for window in planned if window.phase is WindowPhase.CELL]


def _with_rate(window: Window, patterns: Sequence[str], seen: Sequence[Measured]) -> Window:
    """A window without a rate gets one that follows from the windows before it."""
    if window.rate:
        return window
    if window.phase is WindowPhase.FULL:
        return replace(window, rate=cells.overload(pattern=window.pattern, seen=seen))
    rate = cells.share_of_slowest(share=window.share, patterns=patterns, seen=seen)
    return replace(window, rate=rate)


def _without(planned: Sequence[Window], seen: Sequence[Measured]) -> list[Window]:
    numbers = {window.window.number for window in seen}
    return [window for window in planned if window.number not in numbers]


def caveats_of(*, measured: Sequence[Measured]) -> list[str]:
    """What makes a stack's cells doubtful, as for a comparison."""
    cores = os.cpu_count() or 1
    kept = [window for window in measured if window.phase is not WindowPhase.WARM_UP]
    there = sorted({(measured.phase, measured.pattern) for measured in kept})
    found = [
        figures(measured=kept, phase=phase, pattern=pattern, cores=cores)
        for phase, pattern in there
    ]
    return [
        *caveats.caveats(measured=kept, figures=found, cores=cores),
        *_of_capacity(kept),
    ]


def _of_capacity(kept: Sequence[Measured]) -> list[str]:
    """The comparison's caveat (caveats.py) for windows with a hop too."""
    there = sorted({window.pattern for window in kept if window.phase is WindowPhase.FULL})
    found = cells.unsaturated(patterns=there, seen=kept)
    return [f"never saturated, so it can do more: full {', '.join(found)}."] if found else []


class Breached(Exception):
    """The audit of a stack found a breach, so its measurements are void."""


@dataclass(frozen=True, kw_only=True)
class FinishedSurvey:
    """A survey and its file."""

    survey: Survey
    path: Path
    was_stopped: bool


def new_folder(*, settings: SurveySettings) -> Path:
    """Makes the folder of a survey that begins now, with its settings."""
    folder = SURVEYS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-seed-{settings.seed}"
    folder.mkdir(parents=True)
    (folder / SETTINGS).write_bytes(msgspec.json.encode(settings))
    return folder


def settings_in(*, folder: Path) -> SurveySettings:
    """The settings of the survey in this folder. Raises NotASurvey."""
    try:
        return msgspec.json.decode((folder / SETTINGS).read_bytes(), type=SurveySettings)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotASurvey(f"{folder} has no survey to resume: {error}") from error


def run(*, settings: SurveySettings, folder: Path, say: Say) -> FinishedSurvey:
    """Measures the stacks that are not complete in `folder` yet.

    On Ctrl-C it drains, audits and keeps the cells that have ended, and starts no further stack;
    KeyboardInterrupt if the stack has no cell. Raises StackError, NotSupplied, GeneratorFailed,
    NotMeasured, NotASurvey or Breached.
    """
    whole = {spot.name: kept for spot in settings.spots if (kept := _whole(folder / spot.name))}
    ahead = Ahead(settings, [spot for spot in settings.spots if spot.name not in whole])
    found: list[Stack] = []
    for place, spot in enumerate(settings.spots, start=1):
        if spot.name not in whole:
            say(f"stack {place} of {len(settings.spots)}: {spot.in_words}")
            ahead.spots.remove(spot)
        found.append(whole.get(spot.name) or _stack(spot, ahead, folder / spot.name, say))
        cells.write(path=folder / cells.FILE, survey=survey_of(settings=settings, stacks=found))
        if found[-1].was_stopped:
            break
    return FinishedSurvey(
        survey=survey_of(settings=settings, stacks=found),
        path=folder / cells.FILE,
        was_stopped=found[-1].was_stopped,
    )


def survey_of(*, settings: SurveySettings, stacks: Sequence[Stack]) -> Survey:
    """These stacks as one survey."""
    return Survey(
        made_at=min(stack.made_at for stack in stacks),
        seconds_taken=round(sum(stack.seconds_taken for stack in stacks), 1),
        cores=os.cpu_count() or 1,
        settings=settings,
        units=UNITS,
        stacks=stacks,
    )


def _whole(folder: Path) -> Stack | None:
    """The stack of this folder if it was measured to its end; else it is measured again."""
    try:
        found = msgspec.json.decode((folder / STACK).read_bytes(), type=Stack)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise NotASurvey(f"{folder / STACK} can't be read: {error}") from error
    return None if found.was_stopped else found


def _stack(spot: Spot, ahead: Ahead, folder: Path, say: Say) -> Stack:
    """One stack from its start to its audit, stored in its folder. Raises Breached."""
    began, made_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    folder.mkdir(exist_ok=True)
    kept = StoredWindows(folder=folder)
    kept.keep(measured=[])
    # Silent: messages about the start of six stacks would hide the progress.
    with own_stack(variables=_variables(spot), say=lambda _: None) as stack:
        environment = machine.describe(shop=shop_of(stack=stack), database=stack.database)
        taken = _taken(stack, spot, ahead, kept, say)
        audit = run_audit(environment=stack.audit_environment)
    if not audit.is_clean:
        raise Breached(f"{spot.name}: the audit found a breach.\n{audit.output}")
    measured = kept.measured()
    found = Stack(
        spot=spot,
        made_at=made_at,
        seconds_taken=round(time.monotonic() - began, 1),
        environment=environment,
        rest=taken.rest,
        audit=audit,
        was_stopped=taken.was_stopped,
        caveats=caveats_of(measured=measured),
        cells=[cell for window in measured if (cell := cell_of(measured=window))],
    )
    (folder / STACK).write_bytes(msgspec.json.encode(found))
    return found


def _taken(
    stack: LocalStack, spot: Spot, ahead: Ahead, kept: StoredWindows, say: Say
) -> MeasuredStack:
    with (
        tempfile.TemporaryDirectory(prefix="dueto-survey-") as working,
        runner_on(
            stack=stack, name=str(ahead.settings.seed), folder=Path(working), say=say
        ) as runner,
    ):
        return measure(runner=runner, spot=spot, ahead=ahead, done=kept.add, say=say)


def _variables(spot: Spot) -> dict[str, str]:
    """The environment variables of this stack's services."""
    return {
        "DUETO_HOP_SECONDS": str(spot.hop_ms / 1000),
        PADDING: str(spot.steps - OWN_STEPS),
    }
