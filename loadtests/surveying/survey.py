"""A survey: a stack a spot, one after the other, and on each of them its cells, audited.

In its folder: `settings.json`; a folder a stack with its windows and every single checkout
(running/kept.py) and, once it is audited, `stack.json`; `survey.json`, made anew after each stack.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from contracts.catalogue.checkout import PADDING
from loadtests.measuring import machine
from loadtests.running.auditing import run_audit
from loadtests.running.kept import Kept
from loadtests.running.rig import own_stack, runner_on
from loadtests.running.runner import Say
from loadtests.shop import OWN_STEPS, shop_of
from loadtests.surveying import cells
from loadtests.surveying.cells import UNITS, NotASurvey, Stack, Survey, cell_of
from loadtests.surveying.grid import Settings, Spot
from loadtests.surveying.one_stack import Ahead, Taken, doubts_of, measure
from stack.folders import STATE_FOLDER
from stack.local import LocalStack

SURVEYS = STATE_FOLDER / "surveys"
SETTINGS, STACK = "settings.json", "stack.json"


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
    GeneratorFailed, NotMeasured, NotASurvey or Breached.
    """
    whole = {one.name: kept for one in settings.spots if (kept := _whole(folder / one.name))}
    ahead = Ahead(settings, [one for one in settings.spots if one.name not in whole])
    found: list[Stack] = []
    for place, spot in enumerate(settings.spots, start=1):
        if spot.name not in whole:
            say(f"stack {place} of {len(settings.spots)}: {spot.in_words}")
            ahead.spots.remove(spot)
        found.append(whole.get(spot.name) or _stack(spot, ahead, folder / spot.name, say))
        cells.write(path=folder / cells.FILE, survey=survey_of(settings=settings, stacks=found))
        if found[-1].was_stopped:
            break
    return Finished(
        survey=survey_of(settings=settings, stacks=found),
        path=folder / cells.FILE,
        was_stopped=found[-1].was_stopped,
    )


def survey_of(*, settings: Settings, stacks: Sequence[Stack]) -> Survey:
    """These stacks as one survey."""
    return Survey(
        made_at=min(one.made_at for one in stacks),
        seconds_taken=round(sum(one.seconds_taken for one in stacks), 1),
        cores=os.cpu_count() or 1,
        settings=settings,
        units=UNITS,
        stacks=stacks,
    )


def _whole(folder: Path) -> Stack | None:
    """The stack of this spot as it was measured before; None where it was not, or not to its end:
    a stack is measured in one go, or again."""
    try:
        found = msgspec.json.decode((folder / STACK).read_bytes(), type=Stack)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise NotASurvey(f"{folder / STACK} can't be read: {error}") from error
    return None if found.was_stopped else found


def _stack(spot: Spot, ahead: Ahead, folder: Path, say: Say) -> Stack:
    """One stack from its start to its audit, kept in its folder. Raises Breached."""
    began, made_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    folder.mkdir(exist_ok=True)
    kept = Kept(folder=folder)
    kept.keep(measured=[])
    with own_stack(variables=_variables(spot), say=_silent) as stack:
        environment = machine.describe(shop=shop_of(stack=stack), database=stack.database)
        taken = _taken(stack, spot, ahead, kept, say)
        audit = run_audit(environment=stack.environment)
    if not audit.is_clean:
        raise Breached(f"{spot.name}: the audit found a breach.\n{audit.said}")
    measured = kept.measured()
    found = Stack(
        spot=spot,
        made_at=made_at,
        seconds_taken=round(time.monotonic() - began, 1),
        environment=environment,
        rest=taken.rest,
        audit=audit,
        was_stopped=taken.was_stopped,
        doubts=doubts_of(measured=measured),
        cells=[one for each in measured if (one := cell_of(measured=each))],
    )
    (folder / STACK).write_bytes(msgspec.json.encode(found))
    return found


def _taken(stack: LocalStack, spot: Spot, ahead: Ahead, kept: Kept, say: Say) -> Taken:
    with (
        tempfile.TemporaryDirectory(prefix="dueto-survey-") as working,
        runner_on(
            stack=stack, name=str(ahead.settings.seed), folder=Path(working), say=say
        ) as runner,
    ):
        return measure(runner=runner, spot=spot, ahead=ahead, done=kept.add, say=say)


def _variables(spot: Spot) -> dict[str, str]:
    """What the services of this stack are told."""
    return {
        "DUETO_HOP_SECONDS": str(spot.hop_ms / 1000),
        PADDING: str(spot.steps - OWN_STEPS),
    }


def _silent(_: str) -> None:
    """Six stacks that each tell of their start would drown the progress."""
