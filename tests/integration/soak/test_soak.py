"""`manage.py soak` as a user runs it, with every kind of fault: to its end, and to a Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
DRAIN_SECONDS = 60.0
BY_FORCE = {"kill", "pause", "cut", "restart", "purge"}
BY_ANY_USER = {"lock", "read-only", "migrate", "foreign", "usurp"}
"""Faults that need no process of the shop; with so many faults each of these is made."""
pytestmark = pytest.mark.timeout(900)


def command(*options):
    return [sys.executable, "-W", "ignore", "manage.py", "soak", *options]


def environment():
    """Our environment, without the servers of the tests, and with early redrives."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("DATABASE_URL") and name != "RABBITMQ_URL"
    }
    return {**kept, "DUETO_REDRIVE_SECONDS": "2"}


class Soak:
    """A soak of one pattern, 20 sagas a second and a fault every 1.2 s."""

    def __init__(self, folder, *, pattern, minutes, seed, kinds, saga="checkout"):
        self._log, self._json = folder / f"{pattern}.log", folder / f"{pattern}.json"
        faults = ",".join([*sorted(kinds), "duplicate"])
        options = ("--rate", "20", "--every", "1.2", "--seed", seed, "--json", str(self._json))
        options += ("--faults", faults, "--saga", saga)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command("--patterns", pattern, "--minutes", minutes, *options),
                cwd=ROOT,
                env=environment(),
                stdout=log,
                stderr=log,
            )

    @property
    def output(self):
        return self._log.read_text()

    @property
    def faults_made(self):
        return len(re.findall(r"^fault \d+:", self.output, re.MULTILINE))

    def figures(self):
        """Once it has ended."""
        (found,) = json.loads(self._json.read_bytes())["rounds"]
        return found


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    """A soak of 10 seconds, which has ended."""
    folder = tmp_path_factory.mktemp("soak")
    soak = Soak(folder, pattern="orchestrated", minutes="0.16", seed="9", kinds=BY_FORCE)
    assert soak.process.wait(400) == 0, soak.output
    return soak


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A soak of purchases that their customers confirm, stopped by Ctrl-C long before its end, and
    the processes that it had.
    """
    folder = tmp_path_factory.mktemp("soak")
    soak = Soak(
        folder, pattern="choreographed", minutes="1", seed="8", kinds=BY_ANY_USER, saga="purchase"
    )
    eventually(
        lambda: soak.faults_made >= len(BY_ANY_USER) or soak.process.poll() is not None,
        seconds=400,
        what="each kind of fault is made",
    )
    family = psutil.Process(soak.process.pid).children(recursive=True)
    soak.process.send_signal(signal.SIGINT)
    assert soak.process.wait(150) == 130, soak.output
    return soak, family


@pytest.fixture(params=["completed", "stopped"])
def figures(request):
    found = request.getfixturevalue(request.param)
    return (found if request.param == "completed" else found[0]).figures()


def made_in(figures):
    return {(figure["kind"], figure["target"]) for figure in figures["faults"] if figure["made"]}


def test_nothing_is_lost_or_doubled_whatever_is_broken(figures):
    assert figures["breaches"] == []
    assert figures["accepted"] == figures["asked"] == sum(figures["ended"].values()) > 100
    assert figures["drained_in"] <= DRAIN_SECONDS


def test_every_kind_of_fault_was_made(completed, stopped):
    by_force = made_in(completed.figures())
    assert {kind for kind, _ in by_force} == BY_FORCE
    assert {("restart", "postgres"), ("restart", "rabbitmq")} <= by_force
    assert {kind for kind, _ in made_in(stopped[0].figures())} == BY_ANY_USER


def test_sagas_end_in_more_than_one_way(figures):
    assert {"completed", "compensated"} <= figures["ended"].keys()


def test_people_approve_reject_and_let_the_time_pass(completed, stopped):
    assert {"yes", "no", "let pass"} <= stopped[0].figures()["decided"].keys()
    assert completed.figures()["decided"] == {}


def test_messages_come_twice_where_there_are_any(stopped):
    assert stopped[0].figures()["messages"]["repeated"] > 0


def test_stopped_soak_is_marked_and_leaves_nothing_behind(stopped):
    soak, family = stopped
    assert len(family) > 10
    assert "(stopped early)" in soak.output
    assert [process for process in family if lives(process)] == []


def test_command_that_repeats_it_is_printed(completed):
    assert (
        "repeat it: manage.py soak --saga checkout --minutes 0.16 --rate 20 --patterns orchestrated"
        in completed.output
    )


def test_unknown_fault_is_refused_before_anything_is_started():
    ended = subprocess.run(
        command("--faults", "kill,flood"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert "unknown fault 'flood'; choose from kill, pause" in ended.stderr


def lives(process):
    """Whether it still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
