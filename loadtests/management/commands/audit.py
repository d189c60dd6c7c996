"""`manage.py audit`: checks whether the shop's data is correct."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from loadtests.audit import checking, rest
from loadtests.audit.checking import NotAuditable, SagaNotFound
from messaging.brokers import Broker, BrokerUnavailable, connect
from stack.folders import STATE_FOLDER, Folder
from stack.record import read

CLEAN, BREACHED, NOT_AUDITED = 0, 1, 2

HELP = """\
Checks in the services' own tables what must hold after any failure: stock and money add up, every
accepted saga has ended and the services agree on its outcome, nothing happened twice, without its
cause or after its undo, and nothing is in flight any more.

Breaches are listed with their saga; `--saga ID` then shows everything the services have of it. If
`manage.py up` runs in this clone and the environment names no database, that shop is audited.
Exit status: 0 clean, 1 a breach, 2 it could not be checked.
"""

TO_AUDIT = (
    "start it (`manage.py up`), or name the databases and the broker of a shop in the environment"
    " (.env.example)."
)


class Command(BaseCommand):
    help = HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--saga", metavar="ID", help="only this saga, with all its evidence")
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--wait",
            metavar="SECONDS",
            type=float,
            default=0.0,
            help="first wait up to this long for running sagas to end (default: don't)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        running = _running_stack()
        if running is not None:
            sys.exit(_audit_there(running))
        try:
            sys.exit(self._one(options) if options["saga"] else self._all(options))
        except NotAuditable as error:
            raise CommandError(f"Not audited: {error}", returncode=NOT_AUDITED) from error
        except (DatabaseError, BrokerUnavailable) as error:
            raise CommandError(
                f"This shop can't be audited: {str(error).strip()}\n{TO_AUDIT}",
                returncode=NOT_AUDITED,
            ) from error

    def _all(self, options: dict[str, Any]) -> int:
        broker = _broker()
        try:
            if options["wait"] and not rest.wait(
                broker=broker, seconds=options["wait"], say=self.stderr.write
            ):
                self.stderr.write("some sagas have not ended in that time; auditing anyway")
            report = checking.check(broker=broker)
        finally:
            broker.close()
        self.stdout.write(
            json.dumps(report.as_json(), indent=2) if options["json"] else report.as_text()
        )
        return CLEAN if report.is_clean else BREACHED

    def _one(self, options: dict[str, Any]) -> int:
        try:
            report, story = checking.check_one(saga_id=options["saga"])
        except SagaNotFound as error:
            raise CommandError(f"{error}.", returncode=NOT_AUDITED) from error
        if options["json"]:
            self.stdout.write(json.dumps({**report.as_json(), "evidence": story}, indent=2))
        else:
            self.stdout.write("\n".join([*story, report.as_text()]))
        return CLEAN if report.is_clean else BREACHED


def _broker() -> Broker:
    if not settings.BROKER_URL:
        raise CommandError(f"Not running: {TO_AUDIT}", returncode=NOT_AUDITED)
    try:
        return connect(settings.BROKER_URL)
    except ValueError as error:
        raise BrokerUnavailable(str(error)) from error


def _running_stack() -> dict[str, str] | None:
    """The environment of this clone's stack; None if our own names a database, or none runs."""
    named = ["DATABASE_URL", *(f"{alias.upper()}_DATABASE_URL" for alias in settings.DATABASES)]
    if any(os.environ.get(name) for name in named):
        return None
    record = read(Folder(STATE_FOLDER))
    return record["audit"] if record else None


def _audit_there(environment: dict[str, str]) -> int:
    manage = Path(settings.BASE_DIR) / "manage.py"
    again = [sys.executable, str(manage), *sys.argv[1:]]
    return subprocess.run(again, env={**os.environ, **environment}, check=False).returncode  # noqa: S603 -- this very command
