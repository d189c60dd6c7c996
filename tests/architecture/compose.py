"""docker-compose.yml as Docker Compose reads it, as far as it can be read without an engine."""

import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.architecture.tree import ROOT

FILE = ROOT / "docker-compose.yml"
TO_TRY = ROOT / "docker-compose.saga.yml"
EXAMPLE = ROOT / ".env.example"

_PLACEHOLDER = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


@cache
def read(path: Path = FILE) -> dict[str, Any]:
    """The file with its anchors resolved, and its placeholders unchanged."""
    document: dict[str, Any] = YAML(typ="safe").load(path)
    return document


def services() -> dict[str, dict[str, Any]]:
    """By name, with placeholders unchanged."""
    return dict(read()["services"])


def resolved(text: str, *, environment: Mapping[str, str]) -> str:
    """With its placeholders filled in. Raises KeyError for a missing required variable."""

    def fill(match: re.Match[str]) -> str:
        given = environment.get(match["name"], "")
        if not given and match["kind"] != "-":
            raise KeyError(match["name"])
        return given or match["rest"]

    return _PLACEHOLDER.sub(fill, text)


def environment_of(name: str, *, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of a service's processes."""
    stated = services()[name].get("environment", {})
    set_here = {key: value for key, value in stated.items() if value is not None}
    return {key: resolved(value, environment=given) for key, value in set_here.items()}


def command_of(name: str) -> tuple[str, ...]:
    """A service's command, word by word."""
    stated = services()[name]["command"]
    return tuple(shlex.split(stated) if isinstance(stated, str) else stated)


def placeholders() -> dict[str, set[str]]:
    """By variable that compose takes from its environment: the defaults it has there, or `?`."""
    defaults: dict[str, set[str]] = {}
    for match in _PLACEHOLDER.finditer(FILE.read_text()):
        default = "?" if match["kind"] == "?" else match["rest"]
        defaults.setdefault(match["name"], set())
        if default is not None:
            defaults[match["name"]].add(default)
    return defaults


def example(path: Path = EXAMPLE) -> dict[str, str]:
    """The variables of .env.example, or of a similar file, and their values."""
    lines = [line for line in path.read_text().splitlines() if re.match(r"\w+=", line)]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
