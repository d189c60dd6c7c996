"""Reads a run from its folder."""

from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import Audit
from loadtests.measuring import samples
from loadtests.measuring.samples import Sample
from loadtests.outages import Outage

FIGURES, SAMPLES, OUTAGE = "report.json", "samples.csv", "outage.json"

T = TypeVar("T")


class NotARun(Exception):
    """The folder holds no stored run, or it can't be read. The text is for people."""


def read(*, folder: Path) -> Comparison:
    """The figures of a stored run. Raises NotARun."""
    return _decoded(folder / FIGURES, Comparison)


def read_outage(*, folder: Path) -> list[Outage]:
    """What `manage.py outage --json` has written into the folder; empty without it, and if its
    audit found a breach. Raises NotARun.
    """
    if not (folder / OUTAGE).exists():
        return []
    found = _decoded(folder / OUTAGE, _Outages)
    return found.outages if found.audit.is_clean else []


class _Outages(msgspec.Struct, frozen=True, kw_only=True):
    outages: list[Outage]
    audit: Audit


def read_samples(*, folder: Path) -> list[Sample]:
    """Its raw samples. Raises NotARun."""
    try:
        return samples.read(path=folder / SAMPLES, kind=Sample)
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise NotARun(f"{folder / SAMPLES} can't be read: {error}") from error


def _decoded(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise NotARun(f"{path.parent} is no stored run: it has no {path.name}") from error
    except msgspec.ValidationError as error:
        raise NotARun(
            f"{path} can't be read as a run of this version of Dueto ({error}): draw it with the"
            " version that made it, or measure again"
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise NotARun(f"{path} can't be read as a run: {error}") from error
