"""`manage.py migrate_all` on databases that are up to date, and on one that is not there."""

import os
import subprocess
import sys

import pytest
from django.core.management import call_command

from config.databases import ALIASES

pytestmark = pytest.mark.django_db(databases=ALIASES)


def test_database_of_every_service_is_told_in_order(capsys):
    call_command("migrate_all")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{alias}: up to date" for alias in ALIASES]


def test_models_need_no_migration_that_is_not_there(capsys):
    call_command("makemigrations", check=True, dry_run=True)
    assert "No changes" in capsys.readouterr().out


def test_unusable_database_is_named_with_what_to_set():
    url = "postgresql://nobody@127.0.0.1:1/no_such_database"
    told = subprocess.run(
        [sys.executable, "manage.py", "migrate_all"],
        env={**os.environ, "DATABASE_URL": url, "DEFAULT_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    assert "The database of default can't be used" in told.stderr
    assert "DEFAULT_DATABASE_URL" in told.stderr
    assert "Traceback" not in told.stderr
