#!/usr/bin/env python
"""Every command of Dueto: `python manage.py help`."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility, get_commands, load_command_class
from django.core.management.base import BaseCommand

FOLDER = Path(__file__).resolve().parent


def version() -> str:
    """`Dueto 0.1.0 (commit 1a2b3c4)`; without the commit if git does not know it."""
    number = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]["version"]
    try:
        asked = subprocess.run(
            ("git", "rev-parse", "--short", "HEAD"),  # noqa: S607 - the user's own git
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return f"Dueto {number}"
    return f"Dueto {number} (commit {asked.stdout.strip()})"


class Dueto(ManagementUtility):
    """Django's utility, with our version, and our own commands first."""

    def execute(self) -> None:
        if self.argv[1:] in (["--version"], ["version"]):
            sys.stdout.write(f"{version()}\n")
        else:
            super().execute()

    def fetch_command(self, subcommand: str) -> BaseCommand:
        command: BaseCommand = super().fetch_command(subcommand)
        if _is_ours(command.__module__):
            command.get_version = version  # type: ignore[method-assign]
        return command

    def main_help_text(self, commands_only: bool = False) -> str:
        commands = get_commands()
        if commands_only:
            return "\n".join(sorted(commands))
        ours = {name: app for name, app in sorted(commands.items()) if _is_ours(app)}
        others = ", ".join(sorted(commands.keys() - ours.keys()))
        lines = [
            version(),
            "manage.py COMMAND ...; its options: manage.py COMMAND --help",
            "",
            *(_wrapped(f"  {name:<15}  {_summary(app, name)}", 19) for name, app in ours.items()),
            "",
            _wrapped(f"Commands of Django and its packages: {others}", 2),
        ]
        return "\n".join(lines)


def _is_ours(module: str) -> bool:
    return (FOLDER / module.partition(".")[0]).is_dir()


def _summary(app: str, name: str) -> str:
    """The beginning of its help, up to the first full stop or colon."""
    try:
        return re.split(r"[.:]\s", load_command_class(app, name).help, maxsplit=1)[0]
    except ImportError as error:  # in the image, which has no development packages
        return f"(can't be run here: {error})"


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, 79, subsequent_indent=" " * indent, break_on_hyphens=False)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        Dueto(sys.argv).execute()
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
