"""The long exploration runs beside all other tests, in the remaining CPU time; its test is last."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.children import bound_to_parent
from tests.lanes import FULL

ROOT = Path(__file__).resolve().parents[3]
SCHEDULES, ALL_SCHEDULES = 20_000, 100_000
"""The latter with --full."""
MARGIN = 0.015
"""Two processes may play the same random schedule: it counts once."""
COMMAND = [
    *("nice", "-n", "19", sys.executable, "manage.py", "sagas", "explore"),
    # Whatever the machine: the same seed and shares play the same schedules.
    *("--seed", "1", "--faults", "2", "--workers", "2", "--schedules"),
]
_running = pytest.StashKey[subprocess.Popen[str]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_needs_it)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly or not any(map(_needs_it, session.items)):
        return
    played = round(schedules(session.config) * (1 + MARGIN))
    session.config.stash[_running] = subprocess.Popen(
        bound_to_parent([*COMMAND, str(played)], on_parent_death=signal.SIGKILL),
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def schedules(config: pytest.Config) -> int:
    """The number of different schedules to be played."""
    return ALL_SCHEDULES if config.getoption(FULL) else SCHEDULES


def pytest_unconfigure(config: pytest.Config) -> None:
    if (exploration := config.stash.get(_running, None)) and exploration.poll() is None:
        os.killpg(exploration.pid, signal.SIGKILL)
        exploration.wait()


@pytest.fixture(scope="session")
def exploration(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """`manage.py sagas explore`, started with the tests."""
    return request.config.stash[_running]


def _needs_it(item: pytest.Item) -> bool:
    return "exploration" in getattr(item, "fixturenames", [])
