"""The stored reports of `manage.py compare` and the like, in `.dueto/reports`."""

import re
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings

PAGE, FIGURES = "report.html", "report.json"
MOST_LISTED = 200
POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A report is one file with its own styles, shown in a frame without any other access."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A stored run. `made_at`: from its folder's name; `about`: the saga and patterns compared."""

    name: str
    made_at: str
    about: str
    path: Path


def folder() -> Path:
    return Path(settings.BASE_DIR) / ".dueto" / "reports"


def stored() -> list[Report]:
    """The stored reports, newest first."""
    found = sorted(folder().glob(f"*/{PAGE}"), key=lambda path: path.parent.name, reverse=True)
    return [_report(path) for path in found[:MOST_LISTED]]


def find(name: str) -> Report | None:
    """The report in the folder of this name."""
    path = folder() / name / PAGE
    is_found = re.fullmatch(r"[\w.:-]+", name) and not name.startswith(".") and path.is_file()
    return _report(path) if is_found else None


def _report(path: Path) -> Report:
    name = path.parent.name
    date, _, rest = name.partition("Z-")
    day, _, time = date.partition("T")
    return Report(
        name=name,
        made_at=f"{day} {time.replace('-', ':')}" if time else name,
        about=_about(path.with_name(FIGURES)) or rest,
        path=path,
    )


def _about(figures: Path) -> str:
    """The saga and the patterns, if the figures name them."""
    try:
        found: dict[str, Any] = msgspec.json.decode(figures.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return ""
    settings_of = found.get("settings") if isinstance(found.get("settings"), dict) else {}
    patterns = settings_of.get("patterns") if settings_of else None
    names = ", ".join(map(str, patterns)) if isinstance(patterns, list) else ""
    saga = str(settings_of.get("saga", "")) if settings_of else ""
    return ": ".join(filter(None, (saga, names)))
