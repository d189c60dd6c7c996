"""The reference pages, generated from the code: `python -m tests.architecture.reference` writes
docs/reference/settings.md, api.md, commands.md and metrics.md below their introductions, the doors
of docs/explanation/who-may-what.md, and the figures of capacity.md there.

Settings are every variable that the code reads, with its meaning from .env.example; the API is
what every service documents of itself (OpenAPI); the commands are the options of each, and the
Makefile's targets; the metrics are the rows of participant/metrics.py, and the alerts those of
observe/alerts.yml.
"""

import ast
import os
import re
from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Container, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import django
from django.core.management import get_commands, load_command_class
from django.core.management.base import DjangoHelpFormatter
from ruamel.yaml import YAML

from catalogue.services import ALL, WITH_DATABASE, WITH_WORKER
from contracts import declared_doors, rights
from contracts.doors import Declared
from participant import metrics
from stack.backing import variable_of
from tests.architecture.tree import PACKAGES, ROOT, modules, parsed

FOLDER = ROOT / "docs" / "reference"
MARK = "<!-- From here on generated: python -m tests.architecture.reference -->\n"

_PREFIXES = ("DUETO", *(service.name.upper() for service in ALL))
_VARIABLE = re.compile(rf"(?:{'|'.join(_PREFIXES)})_[A-Z_]+|[A-Z]+_URL")
_NAMES = re.compile(r"^(?:# )?((?:[A-Z_]+=(?:[^\s,]+)?(?:,[a-z]\S*)?,?\s*)+?)(?:\s{2,}(\S.*))?$")
_UNITS = {"_SECONDS": "s", "_SHARE": "0 to 1", "_BELOW": "money", "_URL": "URL"}


class Setting(NamedTuple):
    name: str
    default: str
    meaning: str

    @property
    def unit(self) -> str:
        return next((unit for end, unit in _UNITS.items() if self.name.endswith(end)), "")


def settings() -> list[Setting]:
    """Every variable that .env.example or the code names, in that order."""
    texts = meanings()
    defaults = _defaults()
    names = [*texts, *sorted(variables() - texts.keys())]
    return [Setting(name, defaults.get(name, ""), texts.get(name, "")) for name in names]


def variables() -> set[str]:
    """Names of variables in the code, and those that follow from the register of services."""
    names = {
        node.value
        for path in (*modules(), ROOT / "manage.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if _VARIABLE.fullmatch(node.value)
    }
    names |= {service.database_variable for service in ALL}
    names |= {variable_of(login.name) for login in rights.logins()}
    return names - _INTERNAL


_INTERNAL = {"DUETO_ARRIVALS_FD"}
"""Set by one of our processes for another."""


def meanings() -> dict[str, str]:
    """The description of each variable in .env.example, in its order."""
    texts: dict[str, str] = {}
    comment: list[str] = []
    waiting: list[str] = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if match := _NAMES.match(line):
            waiting += re.findall(r"([A-Z_]{4,})=", match[1])
            text = match[2] or (" ".join(comment) if not line.startswith("#") else "")
            if text:
                texts |= dict.fromkeys(waiting, text)
                waiting = []
            comment = []
        elif line.startswith("#     ") and texts:
            texts[list(texts)[-1]] += " " + line[1:].strip()
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    return texts


def _defaults() -> dict[str, str]:
    """The code's default for a variable, or the value in .env.example."""
    example = (ROOT / ".env.example").read_text()
    defaults = dict(re.findall(r"^([A-Z_]+)=(.+)$", example, flags=re.MULTILINE))
    for path in modules():
        for node in ast.walk(parsed(path)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get"):
                continue
            values = [
                argument.value for argument in node.args if isinstance(argument, ast.Constant)
            ]
            if len(values) == 2 and values[1]:
                defaults[str(values[0])] = str(values[1])
    for name, meaning in meanings().items():
        if stated := re.search(r"\(default: (\S+)\)", meaning):
            defaults[name] = stated[1]
    ports = {
        service.url_variable: f"http://127.0.0.1:{service.port}"
        for service in ALL
        if service.url_variable
    }
    return defaults | ports


def settings_page() -> str:
    rows = (
        (
            f"`{setting.name}`",
            f"`{setting.default}`" if setting.default else "",
            setting.unit,
            setting.meaning,
        )
        for setting in settings()
    )
    return _table(("variable", "default", "unit", "meaning"), rows)


def api_page() -> str:
    """A table per service, and one of the paths that all services have: from their OpenAPI
    documents.
    """
    documented = import_module("tests.documented")  # it needs Django set up
    openapi = import_module("httpapi.openapi")
    documents = {
        name: openapi.document(service=name, urls=_urls_of(name))
        for name in (*WITH_DATABASE, "dashboard")
    }
    shared = {path for name in documents for path in _paths_of(documented.shared_urls(name))}
    parts = [
        f"## {service.name} ({service.port})\n\n{_doors(documents[service.name], but=shared)}"
        for service in ALL
    ]
    parts.append(f"## At every service\n\n{_doors(documents[WITH_WORKER[0]], only=shared)}")
    codes: dict[str, set[str]] = {}
    for status, code in (pair for document in documents.values() for pair in _codes(document)):
        codes.setdefault(status, set()).add(code)
    rows = [(status, ", ".join(f"`{code}`" for code in sorted(codes[status]))) for status in codes]
    parts.append(f"## Codes of problems and refusals\n\n{_table(('status', 'code'), sorted(rows))}")
    return "\n".join(parts)


def _urls_of(service: str) -> list[Any]:
    """Its own first."""
    documented = import_module("tests.documented")
    sources = (documented.own_urls, documented.urls_of_kind, documented.shared_urls)
    return [url for urls in sources for url in urls(service)]


def _paths_of(urls: Iterable[Any]) -> list[str]:
    return [door.path for door in declared_doors.all_in(urls)]


def _doors(document: Any, *, but: Container[str] = (), only: Container[str] | None = None) -> str:
    rows = [
        (
            method.upper(),
            f"`{path}`",
            operation["tags"][0],
            operation["description"].replace("|", "\\|"),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path not in but and (only is None or path in only) and not path.startswith("/steps/")
    ]
    return _table(("method", "path", "for", "what"), rows)


def _codes(document: Any) -> Iterator[tuple[str, str]]:
    """Every code that a document has, by status."""
    common = document["components"]["responses"]
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, given in operation["responses"].items():
                named = given.get("$ref", "").rpartition("/")[2]
                contents = (common[named] if named else given).get("content", {})
                for content in contents.values():
                    known = content["schema"].get("properties", {}).get("code", {})
                    yield from ((status, code) for code in known.get("enum", ()))


def _first(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


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
    """The command's description, its options, and those of its subcommands."""
    own = [
        action
        for action in parser._actions
        if not isinstance(action, _SubParsersAction) and not set(action.option_strings) & _BASE
    ]
    table = _table(("option", "meaning"), (_option(action, parser) for action in own))
    description = f"{parser.description.strip()}\n\n" if parser.description else ""
    return "\n".join([description + (table if own else ""), *_subcommands(parser)])


def _subcommands(parser: ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                title = f"### {parser.prog.split()[-1]} {name}"
                about = "" if below.description else f"{texts.get(name, '')}\n\n"
                yield f"{title}\n\n{about}{_command(below)}"


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
    alert_table = _table(("alert", "severity", "where", "for", "why"), alerts)
    return f"{shown}\n## Alerts\n\n{alert_table}"


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |\n" for line in lines)


def who_page() -> str:
    """The callers of each door that needs a token."""
    parts = []
    for service in ALL:
        urls = _urls_of(service.name) if service.has_tables else []
        rows = [
            (door.method, f"`{door.path}`", *_welcome(door.declared))
            for door in declared_doors.all_in(urls)
            if not door.declared.is_public and not door.path.startswith("/steps/")
        ]
        if rows:
            parts.append(f"### {service.name}\n\n{_table(('method', 'path', *_WELCOME), rows)}")
    return "\n".join(parts)


_WELCOME = ("people with one of", "services")


def _welcome(declared: Declared) -> tuple[str, str]:
    return ", ".join(sorted(declared.scopes)), ", ".join(sorted(declared.callers))


def capacity_page() -> str:
    """The output of `manage.py capacity`."""
    model = import_module("loadtests.choosing.model")
    capacity, sizing = (
        import_module(f"loadtests.choosing.{module}") for module in ("capacity", "sizing")
    )
    fitted = model.Model(survey=model.source(named=model.SHIPPED).survey)
    works = capacity.kept()
    tables = {
        f"What it takes, {pattern}": sizing.needs(
            fitted, work, pattern, capacity.RATES, capacity.Limit()
        )
        for pattern, work in works.items()
    }
    tables |= {
        "What a shopper waits at a cell, ms, p50 / p95": sizing.waits(works),
        "One product": sizing.hot(works),
        "The simulation where it was not fitted, mean / largest error": sizing.errors(
            sizing.all_checks(fitted, works)
        ),
    }
    return "\n".join(f"## {title}\n\n{_table(rows[0], rows[1:])}" for title, rows in tables.items())


PAGES = {
    "settings": settings_page,
    "api": api_page,
    "commands": commands_page,
    "metrics": metrics_page,
    "../explanation/who-may-what": who_page,
    "../explanation/capacity": capacity_page,
}


def expected(name: str) -> tuple[Path, str]:
    """The expected page: its introduction, and the generated part."""
    path = (FOLDER / f"{name}.md").resolve()
    return path, path.read_text().partition(MARK)[0] + MARK + "\n" + PAGES[name]()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    for path, text in map(expected, PAGES):
        path.write_text(text)
