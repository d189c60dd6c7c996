"""A survey: a stack a spot, one after the other, and on each of them its cells, audited.

In its folder: `settings.json`; a folder a stack with its windows and every single checkout
(store.py) and, once it is audited, `stack.json`; `survey.json`, made anew after each stack.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from loadtests import cells, doubts, grid, machine
from loadtests.cells import UNITS, NotASurvey, Rest, Stack, Survey, cell_of, rest_of
from loadtests.countdown import Countdown
from loadtests.grid import Settings, Spot
from loadtests.plan import Phase, Window
from loadtests.results import Figures, Measured, figures
from loadtests.rig import Say, own_stack, run_audit, runner_on
from loadtests.runner import Runner, progress
from loadtests.shop import shop_of
from loadtests.store import Store
from stack.folders import STATE_FOLDER
from stack.local import LocalStack

SURVEYS = STATE_FOLDER / "surveys"
SETTINGS, STACK = "settings.json", "stack.json"
AROUND_WINDOW_SECONDS, AROUND_STACK_SECONDS = 2.0, 18.0
"""Expected: for supply, drain and rest; for start, generator, measure of the rest, and audit."""
FEWEST_STEPS = 5
"""Of the checkout as it is; others are added to it."""


class Breached(Exception):
    """The audit of a stack found a breach: what was measured on it does not count."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A survey and its file."""

    survey: Survey
    path: Path
    was_stopped: bool


def new_folder(*, settings: Settings) -> Path:
    """Where a survey that begins now is kept; made, with what was asked for in it."""
    folder = SURVEYS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-seed-{settings.seed}"
    folder.mkdir(parents=True)
    (folder / SETTINGS).write_bytes(msgspec.json.encode(settings))
    return folder


def settings_in(*, folder: Path) -> Settings:
    """What the survey in this folder was asked for. Raises NotASurvey."""
    try:
        return msgspec.json.decode((folder / SETTINGS).read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotASurvey(f"{folder} holds no survey to go on with: {error}") from error


def run(*, settings: Settings, folder: Path, say: Say) -> Finished:
    """Measures the stacks that are not whole in `folder` yet.

    On Ctrl-C the cells that have ended are drained, audited and kept, and no further stack is
    started; KeyboardInterrupt where the stack has none. Raises StackError, NotSupplied,
    GeneratorFailed, NotMeasured, or Breached.
    """
    countdown = Countdown(
        expected=sum(_expected(settings, spot) for spot in settings.spots), began=time.monotonic()
    )
    found: list[Stack] = []
    for spot in settings.spots:
        kept = _kept(folder / spot.name)
        if kept and not kept.was_stopped:
            countdown.skips(expected=_expected(settings, spot))
        else:
            say(f"stack {len(found) + 1} of {len(settings.spots)}: {spot.name}")
            kept = _Surveying(settings, spot, folder / spot.name, countdown, say).run()
        found.append(kept)
        survey = _survey(settings, found)
        cells.write(path=folder / cells.FILE, survey=survey)
        if kept.was_stopped:
            break
    return Finished(survey=survey, path=folder / cells.FILE, was_stopped=found[-1].was_stopped)


def _survey(settings: Settings, stacks: Sequence[Stack]) -> Survey:
    return Survey(
        made_at=min(one.made_at for one in stacks),
        seconds_taken=round(sum(one.seconds_taken for one in stacks), 1),
        cores=os.cpu_count() or 1,
        settings=settings,
        units=UNITS,
        stacks=stacks,
    )


def _expected(settings: Settings, spot: Spot) -> float:
    planned = grid.windows(settings=settings, spot=spot)
    return AROUND_STACK_SECONDS + sum(one.seconds + AROUND_WINDOW_SECONDS for one in planned)


def _kept(folder: Path) -> Stack | None:
    """The stack of this spot as it was measured before; None where it was not."""
    try:
        return msgspec.json.decode((folder / STACK).read_bytes(), type=Stack)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise NotASurvey(f"{folder / STACK} can't be read: {error}") from error


class _Surveying:
    """One stack, from its start to its audit."""

    def __init__(
        self, settings: Settings, spot: Spot, folder: Path, countdown: Countdown, say: Say
    ) -> None:
        self._settings = settings
        self._spot = spot
        self._store = Store(folder=folder)
        self._countdown = countdown
        self._say = say
        self._was_stopped = False

    def run(self) -> Stack:
        """The stack with its cells, kept in its folder. Raises Breached."""
        began, made_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        self._store.folder.mkdir(exist_ok=True)
        # Of a stack that was stopped nothing is gone on with: it was one block of time.
        self._store.keep(measured=[])
        with own_stack(variables=_variables(self._spot), say=_silent) as stack:
            environment = machine.describe(shop=shop_of(stack=stack), database=stack.database)
            with tempfile.TemporaryDirectory(prefix="dueto-survey-") as working:
                rest = self._measure(stack, Path(working))
            audit = run_audit(environment=stack.environment)
        if not audit.is_clean:
            raise Breached(f"{self._spot.name}: the audit found a breach.\n{audit.said}")
        measured = self._store.measured()
        found = Stack(
            spot=self._spot,
            made_at=made_at,
            seconds_taken=round(time.monotonic() - began, 1),
            environment=environment,
            rest=rest,
            audit=audit,
            was_stopped=self._was_stopped,
            doubts=self._doubts(measured),
            cells=[one for each in measured if (one := cell_of(measured=each))],
        )
        (self._store.folder / STACK).write_bytes(msgspec.json.encode(found))
        return found

    def _measure(self, stack: LocalStack, folder: Path) -> Rest:
        """What the stack uses at rest; its windows are in the store."""
        name = str(self._settings.seed)
        with runner_on(stack=stack, name=name, folder=folder, say=self._say) as runner:
            rest = rest_of(cost=runner.measure_rest())
            self._countdown.has_done(expected=AROUND_STACK_SECONDS)
            try:
                self._windows(runner)
            except KeyboardInterrupt:
                if not any(cell_of(measured=one) for one in self._store.measured()):
                    raise
                self._say("stopped: what has been measured so far is drained, audited and kept")
                self._was_stopped = True
                runner.drain()
        return rest

    def _windows(self, runner: Runner) -> None:
        planned = grid.windows(settings=self._settings, spot=self._spot)
        seen: list[Measured] = []
        for window in planned:
            one = runner.measure(window=window, seen=seen)
            seen.append(one)
            self._store.add(one)
            self._countdown.has_done(expected=window.seconds + AROUND_WINDOW_SECONDS)
            left = self._countdown.left(now=time.monotonic())
            self._say(f"{progress(one, of=len(planned))}{_refusals(window)}; {left}")

    def _doubts(self, measured: Sequence[Measured]) -> list[str]:
        cores = os.cpu_count() or 1
        kept = [one for one in measured if one.window.phase is not Phase.WARM_UP]
        there = sorted({(one.window.phase, one.window.pattern) for one in kept})
        found: list[Figures] = [
            figures(measured=kept, phase=phase, pattern=pattern, cores=cores)
            for phase, pattern in there
        ]
        return doubts.doubts(measured=kept, figures=found, cores=cores)


def _variables(spot: Spot) -> dict[str, str]:
    """What the services of this stack are told."""
    return {
        "DUETO_HOP_SECONDS": str(spot.hop_ms / 1000),
        "DUETO_EXTRA_STEPS": str(spot.steps - FEWEST_STEPS),
    }


def _refusals(window: Window) -> str:
    return f", {window.mix.declined:.0%} declined" if window.mix.declined else ""


def _silent(_: str) -> None:
    """Six stacks that each tell of their start would drown the progress."""
