"""The stack is tested with real servers, processes and signals."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from stack import rabbitmq
from stack.children import Program
from stack.folders import Folder
from stack.processes import Supervisor
from tests.installed import need

GIVEN = ("DATABASE_URL", "RABBITMQ_URL", "CI", "DUETO_REQUIRE_RABBITMQ", "DUETO_BROKER")


@pytest.fixture(autouse=True)
def _own_servers(monkeypatch):
    """These tests don't use the servers that `make test` starts for others."""
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def place():
    """A folder with a space in its path, which another user can reach (pytest's own can't)."""
    path = Path(tempfile.mkdtemp(prefix="dueto tests "))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder(place):
    opened = Folder(place / "state")
    yield opened
    opened.purge()


@pytest.fixture
def announced():
    """The lines that were announced."""
    return []


@pytest.fixture
def supervisor(announced):
    running = Supervisor(announce=announced.append)
    yield running
    running.close()


@pytest.fixture
def program(folder):
    """Makes a small Python program to run."""

    def make(name, code, **more):
        return Program(
            name=name,
            argv=("python3", "-u", "-c", code),
            environment=dict(os.environ),
            folder=folder.path,
            log=folder.logs / f"{name}.log",
            **more,
        )

    return make


@pytest.fixture
def needs_rabbitmq():
    need(str(rabbitmq.SERVER), package="rabbitmq-server")


@pytest.fixture
def needs_root():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
