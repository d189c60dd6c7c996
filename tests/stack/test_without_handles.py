"""Where processes can't be watched (an old kernel, a container that forbids it) nothing is started,
and that is said at once."""

import errno
import os
import subprocess
import sys

import pytest

from stack import children
from stack.children import Child
from stack.console import StackError
from stack.processes import Supervisor
from tests.stack.watching import ROOT, is_gone

SECONDS = 60
SLEEPS = "import time; time.sleep(60)"
WITHOUT = """
import os, runpy, sys
del os.pidfd_open
sys.argv = ["manage.py", *sys.argv[1:]]
runpy.run_path("manage.py", run_name="__main__")
"""


def refused(number):
    def pidfd_open(pid):
        raise OSError(number, os.strerror(number))

    return pidfd_open


@pytest.mark.parametrize("command", [("up",), ("up", "--detach")])
def test_nothing_is_started_and_one_line_says_why(command):
    made = subprocess.run(
        [sys.executable, "-c", WITHOUT, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert made.returncode != 0
    assert "pidfd_open" in made.stderr
    assert len(made.stderr.strip().splitlines()) == 1, made.stderr


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_kernel_that_refuses_is_understood(monkeypatch, number):
    monkeypatch.setattr(os, "pidfd_open", refused(number))
    with pytest.raises(StackError, match="pidfd_open"):
        children.require_handles()
    with pytest.raises(StackError, match="pidfd_open"):
        Supervisor(announce=print)


def test_program_that_can_not_be_watched_is_ended_and_the_others_are_looked_after(
    program, supervisor, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refused(errno.EMFILE))
        started: list[int] = []
        patch.setattr(Child, "_undo_spawn", _noting(started))
        with pytest.raises(OSError, match="open files"):
            supervisor.start(program("first", SLEEPS))
    assert is_gone(started[0])
    assert supervisor.start(program("second", SLEEPS)) > 0


def _noting(started):
    undo = Child._undo_spawn

    def noted(self, process):
        started.append(process.pid)
        undo(self, process)

    return noted
