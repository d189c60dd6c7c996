"""Which survey an answer is made from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtests.choosing.model import can_be_fitted
from loadtests.surveying import cells
from loadtests.surveying.cells import FILE, NotASurvey, Survey
from loadtests.surveying.survey import SURVEYS

SHIPPED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A survey, and where it is from, in words."""

    survey: Survey
    said: str


def source(*, named: Path | None, own: Path = SURVEYS, shipped: Path = SHIPPED) -> Source:
    """The survey in the folder (or file) that is `named`; else the newest whole one among one's
    `own`; else the shipped one. Raises NotASurvey."""
    if named:
        path = named / FILE if named.is_dir() else named
        return Source(survey=_usable(path), said=f"{path}, as asked")
    for path in sorted(own.glob(f"*/{FILE}"), reverse=True):
        found = _read(path)
        if found and _is_whole(found):
            return Source(survey=found, said=f"your own newest survey, {path}")
    return Source(
        survey=_usable(shipped), said="the survey that comes with Dueto, of another machine"
    )


def _usable(path: Path) -> Survey:
    survey = cells.read(path=path)
    if not can_be_fitted(stacks=survey.stacks):
        raise NotASurvey(
            f"{path}: too little to answer from; it takes stacks of two numbers of steps and two"
            " hop delays, and one that is held out"
        )
    return survey


def _read(path: Path) -> Survey | None:
    """One that another version has written is none, and no reason to fail: others are there."""
    try:
        return cells.read(path=path)
    except NotASurvey:
        return None


def _is_whole(survey: Survey) -> bool:
    measured = [one.spot for one in survey.stacks if not one.was_stopped]
    return measured == list(survey.settings.spots) and can_be_fitted(stacks=survey.stacks)


def machines(*, survey: Survey) -> Iterable[str]:
    """What it was measured on, each once."""
    return dict.fromkeys(one.environment.get("machine", "unknown") for one in survey.stacks)
