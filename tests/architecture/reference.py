"""The reference pages, generated from the code: `python -m tests.architecture.reference` writes
docs/reference/settings.md, api.md, commands.md and metrics.md below their introductions.

Settings are every variable that the code reads, with its meaning from .env.example; the API is
every service's urlpatterns; the commands are the options of each, and the Makefile's targets; the
metrics are the rows of participant/metrics.py, and the alerts those of observe/alerts.yml.
"""

import ast
import inspect
import os
import re
import textwrap
from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import django
from django.core.management import get_commands, load_command_class
from django.core.management.base import DjangoHelpFormatter
from django.urls import URLPattern
from django.views import View
from ruamel.yaml import YAML

from catalogue import refusals as of_the_shop
from catalogue.services import ALL, WITH_WORKER
from contracts import refusals
from participant import metrics
from tests.architecture.tree import PACKAGES, ROOT, modules, parsed

FOLDER = ROOT / "docs" / "reference"
MARK = "<!-- From here on generated: python -m tests.architecture.reference -->\n"

_PREFIXES = ("DUETO", *(service.name.upper() for service in ALL))
_VARIABLE = re.compile(rf"(?:{'|'.join(_PREFIXES)})_[A-Z_]+|[A-Z]+_URL")
_NAMES = re.compile(r"^(?:# )?((?:[A-Z_]+=(?:[^\s,]+)?(?:,[a-z]\S*)?,?\s*)+?)(?:\s{2,}(\S.*))?$")
_UNITS = {"_SECONDS": "s", "_SHARE": "0 to 1", "_BELOW": "money", "_URL": "URL"}
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")


class Setting(NamedTuple):
    name: str
    default: str
    meaning: str

    @property
    def unit(self) -> str:
        return next((unit for end, unit in _UNITS.items() if self.name.endswith(end)), "")


def settings() -> list[Setting]:
    """Every variable that .env.example or the code names, in that order."""
    told = meanings()
    defaults = _defaults()
    names = [*told, *sorted(variables() - told.keys())]
    return [Setting(name, defaults.get(name, ""), told.get(name, "")) for name in names]


def variables() -> set[str]:
    """What stands in the code as a name of one, and those that follow from the register."""
    found = {
        node.value
        for path in (*modules(), ROOT / "manage.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if _VARIABLE.fullmatch(node.value)
    }
    found |= {service.database_variable for service in ALL}
    return found - _INTERNAL


_INTERNAL = {"DUETO_ARRIVALS_FD"}
"""Set by one process of ours for another."""


def meanings() -> dict[str, str]:
    """What .env.example says of each variable, in its order."""
    told: dict[str, str] = {}
    comment: list[str] = []
    waiting: list[str] = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if found := _NAMES.match(line):
            waiting += re.findall(r"([A-Z_]{4,})=", found[1])
            text = found[2] or (" ".join(comment) if not line.startswith("#") else "")
            if text:
                told |= dict.fromkeys(waiting, text)
                waiting = []
            comment = []
        elif line.startswith("#     ") and told:
            told[list(told)[-1]] += " " + line[1:].strip()
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    return told


def _defaults() -> dict[str, str]:
    """What the code takes where a variable is not set, else what .env.example shows."""
    example = (ROOT / ".env.example").read_text()
    found = dict(re.findall(r"^([A-Z_]+)=(.+)$", example, flags=re.MULTILINE))
    for path in modules():
        for node in ast.walk(parsed(path)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get"):
                continue
            values = [one.value for one in node.args if isinstance(one, ast.Constant)]
            if len(values) == 2 and values[1]:
                found[str(values[0])] = str(values[1])
    for name, meaning in meanings().items():
        if said := re.search(r"\(default: (\S+)\)", meaning):
            found[name] = said[1]
    ports = {one.url_variable: f"http://127.0.0.1:{one.port}" for one in ALL if one.url_variable}
    return found | ports


def settings_page() -> str:
    rows = (
        (f"`{one.name}`", f"`{one.default}`" if one.default else "", one.unit, one.meaning)
        for one in settings()
    )
    return _table(("variable", "default", "unit", "meaning"), rows)


def api_page() -> str:
    """A table a service, and what all of them have."""
    parts = []
    for service in ALL:
        if service.has_tables:
            urls = import_module(f"{service.name}.urls").urlpatterns
            parts.append(f"## {service.name} ({service.port})\n\n{_paths(urls)}")
    shared = import_module("messaging.views").urls(service=WITH_WORKER[0])
    parts.append(f"## Messages, at each service that has a worker\n\n{_paths(shared)}")
    parts.append(
        f"## Health, at every service\n\n{_paths(import_module('httpapi.health').urlpatterns)}"
    )
    parts.append(f"## Codes of problems\n\n{_table(('status', 'code'), _problems())}")
    named = {**vars(refusals), **vars(of_the_shop)}
    codes = sorted(value for name, value in named.items() if name.isupper())
    named = ", ".join(f"`{code}`" for code in codes)
    parts.append(f"## Codes of refusals (409)\n\n{textwrap.fill(named, 100)}\n")
    return "\n".join(parts)


def _paths(urls: Iterable[URLPattern]) -> str:
    rows = [_door(url) for url in urls if not str(url.pattern).startswith("steps/")]
    return _table(("method", "path", "what"), rows)


def _door(url: URLPattern) -> tuple[str, str, str]:
    path = "/" + _CONVERTED.sub(r"{\1}", str(url.pattern))
    view = getattr(url.callback, "view_class", getattr(url.callback, "cls", None))
    if view is None:
        return "GET", f"`{path}`", _first(inspect.getdoc(url.callback) or "")
    named = getattr(view, "methods", None) or [
        one for one in ("get", "post", "put", "patch", "delete") if hasattr(view, one)
    ]
    return ", ".join(named).upper(), f"`{path}`", _what(view)


def _what(view: type) -> str:
    operation = getattr(view, "operation", None)
    if operation:
        return f"{operation.name}, by hand"
    own = view.__doc__ or view.__bases__[0].__doc__ or ""
    if own in _EMPTY:
        raise LookupError(f"{view.__bases__[0].__name__} does not say what it answers")
    return _first(inspect.cleandoc(own))


_EMPTY = ("", View.__doc__)


def _first(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def _problems() -> list[tuple[str, str]]:
    found = set()
    for path in modules():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("Problem", "_later")
            ):
                given = {one.arg: one.value for one in node.keywords}
                code, status = given.get("code"), given.get("status")
                if isinstance(code, ast.Constant):
                    number = status.value if isinstance(status, ast.Constant) else 503
                    found.add((str(number), f"`{code.value}`"))
    return sorted(found)


def commands_page() -> str:
    parts = ["## make\n\n" + _table(("target", "what it does"), _targets())]
    for name, application in sorted(get_commands().items()):
        if application in PACKAGES:
            parser = load_command_class(application, name).create_parser("manage.py", name)
            parts.append(f"## manage.py {name}\n\n{_command(parser)}")
    return "\n".join(parts)


def _targets() -> list[tuple[str, str]]:
    text = (ROOT / "Makefile").read_text()
    return [(f"`make {n}`", t) for n, t in re.findall(r"^([a-z-]+):.*## (.*)$", text, re.MULTILINE)]


def _command(parser: ArgumentParser) -> str:
    """What it does, its options, and those of its subcommands."""
    own = [
        action
        for action in parser._actions
        if not isinstance(action, _SubParsersAction) and not set(action.option_strings) & _BASE
    ]
    table = _table(("option", "meaning"), (_option(action, parser) for action in own))
    said = f"{parser.description.strip()}\n\n" if parser.description else ""
    return "\n".join([said + (table if own else ""), *_subcommands(parser)])


def _subcommands(parser: ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            told = {one.dest: one.help or "" for one in action._choices_actions}
            for name, below in action.choices.items():
                title = f"### {parser.prog.split()[-1]} {name}"
                yield f"{title}\n\n{told.get(name, '')}\n\n{_command(below)}"


def _option(action: Action, parser: ArgumentParser) -> tuple[str, str]:
    named = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    value = f" {action.metavar or action.dest.upper()}" if _takes(action) else ""
    help_text = (action.help or "") % {**vars(action), "prog": parser.prog}
    return f"`{named}{value}`", _first(help_text)


def _takes(action: Action) -> bool:
    return bool(action.option_strings) and action.nargs != 0


_BASE = {"-h", *DjangoHelpFormatter.show_last}


def metrics_page() -> str:
    rows = (
        (f"`{metric.name}`", metric.kind, ", ".join(map("`{}`".format, metric.labels)), metric.help)
        for metric in metrics.ALL
    )
    alerts = (
        (f"`{rule['alert']}`", rule["labels"]["severity"], f"`{rule['expr']}`", rule["for"], why)
        for group in YAML(typ="safe").load(ROOT / "observe" / "alerts.yml")["groups"]
        for rule in group["rules"]
        for why in [rule["annotations"]["why"]]
    )
    shown = _table(("metric", "kind", "labels", "what it tells"), rows)
    told = _table(("alert", "severity", "where", "for", "why"), alerts)
    return f"{shown}\n## Alerts\n\n{told}"


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |\n" for line in lines)


PAGES = {
    "settings": settings_page,
    "api": api_page,
    "commands": commands_page,
    "metrics": metrics_page,
}


def expected(name: str) -> tuple[Path, str]:
    """A page as it should be: its own introduction, and what follows from the code."""
    path = FOLDER / f"{name}.md"
    return path, path.read_text().partition(MARK)[0] + MARK + "\n" + PAGES[name]()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    for path, text in map(expected, PAGES):
        path.write_text(text)
