import contextlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stack.console import StackError
from stack.processes import Supervisor
from tests.stack.watching import all_gone, is_gone, run_python
from tests.waiting import eventually

SLEEPS = "import time; print('awake'); time.sleep(60)"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN);" + SLEEPS
PARENT = f"""
import subprocess
child = subprocess.Popen(["python3", "-c", {SLEEPS!r}])
print(child.pid)
child.wait()
"""

SUPERVISES_TWO = """
import os, pathlib, signal, sys, time
from stack.children import Program
from stack.processes import Supervisor

sleeps = ("python3", "-c", "import time; time.sleep(60)")
keeper = Supervisor(announce=print)
for name in ("one", "two"):
    keeper.start(
        Program(
            name=name, argv=sleeps, environment=dict(os.environ),
            folder=pathlib.Path.cwd(), log=pathlib.Path(sys.argv[1]) / name,
        )
    )
print(*keeper.pids().values())
time.sleep(60)
"""

SPAWNS_UNBOUND = """
import subprocess, time
print(subprocess.Popen(["python3", "-c", "import time; time.sleep(60)"]).pid)
time.sleep(60)
"""


def last_line(supervisor, name):
    return supervisor._children[name].tail().strip()


def test_killed_supervisor_takes_every_child_with_it(place):
    with run_python(SUPERVISES_TWO, str(place)) as keeper:
        pids = [int(pid) for pid in keeper.stdout.readline().split()]
        assert not any(is_gone(pid) for pid in pids)
        keeper.kill()
    eventually(lambda: all_gone(pids))


def test_program_that_can_not_be_watched_is_ended_and_others_are_supervised(
    program, supervisor, monkeypatch
):
    pids = []

    def no_more_threads(thread):
        pids.append(thread._args[0])
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more_threads)
        with pytest.raises(RuntimeError, match="thread"):
            supervisor.start(program("first", SLEEPS))
    assert all_gone(pids)
    second = supervisor.start(program("second", SLEEPS))
    assert supervisor.pids() == {"second": second}


def test_without_the_parent_death_signal_a_child_outlives_its_killed_parent():
    """The control of the test above."""
    with run_python(SPAWNS_UNBOUND) as keeper:
        pid = int(keeper.stdout.readline())
        keeper.kill()
        keeper.wait()
        assert not is_gone(pid)
        os.kill(pid, signal.SIGKILL)


def test_stop_ends_all_at_once_and_kills_the_stubborn(supervisor, program):
    supervisor.start(program("mild", SLEEPS))
    supervisor.start(program("stubborn", STUBBORN, patience=0.3))
    eventually(lambda: last_line(supervisor, "stubborn") == "awake")
    pids = list(supervisor.pids().values())
    supervisor.stop(["mild", "stubborn"])
    assert all_gone(pids)
    assert supervisor.pids() == {}


def test_child_of_a_killed_process_ends_too(supervisor, program):
    supervisor.start(program("parent", PARENT))
    below = eventually(
        lambda: last_line(supervisor, "parent").isdecimal() and last_line(supervisor, "parent")
    )
    os.kill(supervisor.pids()["parent"], signal.SIGKILL)
    eventually(lambda: is_gone(int(below)))


def test_crashed_process_is_restarted_and_its_last_lines_are_shown(supervisor, program, announced):
    supervisor.restarts = True
    first = supervisor.start(program("shop", "print('no stock of sense'); " + SLEEPS))
    eventually(lambda: last_line(supervisor, "shop").endswith("awake"))
    supervisor.kill("shop", signal.SIGKILL)
    second = eventually(lambda: supervisor.pids().get("shop"))
    assert second != first
    assert "shop was ended by SIGKILL" in announced[0]
    assert "no stock of sense" in announced[0]


def test_process_that_another_has_replaced_is_not_restarted(supervisor, program, announced):
    supervisor.restarts = True
    taken_over = threading.Event()
    supervisor.instead["primary"] = taken_over.set
    supervisor.start(program("primary", SLEEPS))
    supervisor.kill("primary", signal.SIGKILL)
    assert taken_over.wait(10)
    assert "primary" not in supervisor.pids()
    assert supervisor._until_restart() is None
    # By hand it can be started, and is then supervised like others.
    supervisor.restart("primary")
    supervisor.kill("primary", signal.SIGKILL)
    eventually(lambda: "primary" in supervisor.pids())
    assert [line.partition(";")[2].partition(".")[0] for line in announced[:2]] == [
        " it is not restarted",
        " restarting it in 0",
    ]


def test_pauses_between_restarts_grow(supervisor, program, announced):
    supervisor.restarts = True
    supervisor.start(program("broken", "raise SystemExit(7)"))
    eventually(lambda: len(announced) >= 3)
    assert "ended with exit code 7; restarting it in 0.5 s" in announced[0]
    assert "restarting it in 1 s" in announced[2]


def test_pauses_between_restarts_grow_no_longer_than_was_chosen(program, announced):
    impatient = Supervisor(announce=announced.append, longest_pause=0.1)
    with contextlib.closing(impatient):
        impatient.restarts = True
        impatient.start(program("broken", "raise SystemExit(7)"))
        eventually(lambda: len(announced) >= 5)
    assert {line.splitlines()[0] for line in announced[0:5:2]} == {
        "broken ended with exit code 7; restarting it in 0.1 s. Its last lines:"
    }


def test_crash_without_restart_is_reported_with_its_log(supervisor, program):
    supervisor.start(program("shop", "raise SystemExit('the roof is off')"))
    with pytest.raises(StackError, match=r"(?s)shop ended with exit code 1.*the roof is off"):
        eventually(supervisor.check)


def test_stopped_process_stays_stopped_until_restarted(supervisor, program, announced):
    supervisor.restarts = True
    supervisor.start(program("shop", SLEEPS))
    supervisor.stop(["shop"])
    assert supervisor.pids() == {}
    assert supervisor.restart("shop") == supervisor.pids()["shop"]
    assert announced == []


def test_frozen_process_can_be_stopped(supervisor, program):
    supervisor.start(program("shop", SLEEPS))
    supervisor.kill("shop", signal.SIGSTOP)
    supervisor.stop(["shop"])
    assert supervisor.pids() == {}


def test_task_gives_its_last_lines(supervisor, program):
    assert "42" in supervisor.run(program("sum", "print(40 + 2)", is_task=True))


def test_tasks_of_one_name_are_run_one_after_the_other(supervisor, program, tmp_path):
    """Two signals at once would be taken for one, and the wait for the first would not end."""
    log = tmp_path / "told"
    code = (
        f"t = open({str(log)!r}, 'a', buffering=1); print('begun', file=t); print('over', file=t)"
    )
    task = program("task", f"import json, sqlite3, ssl; {code}", is_task=True)
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(supervisor.run, task) for _ in range(4)]:
            future.result(timeout=30)
    assert log.read_text().split() == ["begun", "over"] * 4


def test_failed_task_raises_with_its_output(supervisor, program):
    with pytest.raises(StackError, match=r"(?s)sum ended with exit code 1.*no numbers"):
        supervisor.run(program("sum", "raise SystemExit('no numbers')", is_task=True))


def test_missing_command_is_named(supervisor, program):
    missing = program("ghost", "", is_task=True)
    object.__setattr__(missing, "argv", ("no-such-command",))
    with pytest.raises(StackError, match="no-such-command can't be run"):
        supervisor.run(missing)


def test_close_is_idempotent(supervisor, program):
    supervisor.start(program("shop", SLEEPS))
    pid = supervisor.pids()["shop"]
    with contextlib.closing(supervisor):
        supervisor.close()
    assert is_gone(pid)
