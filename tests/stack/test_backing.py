"""`python -m stack.backing -- COMMAND`."""

import os
import signal
import subprocess
import sys

import pytest

from contracts import rights
from tests.stack.watching import ROOT, all_gone
from tests.waiting import eventually

SHOWS_ITS_SERVERS = """
import os, psutil, psycopg, sys, time
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("SELECT 1")
siblings = psutil.Process(os.getppid()).children()
print(*(process.pid for process in siblings if process.pid != os.getpid()), flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
sys.exit(int(sys.argv[1]))
"""


def backing(what, *, broker, prefix=()):
    return subprocess.Popen(
        [
            *prefix,
            sys.executable,
            "-m",
            "stack.backing",
            "--",
            sys.executable,
            "-c",
            SHOWS_ITS_SERVERS,
            what,
        ],
        cwd=ROOT,
        env={**os.environ, "DUETO_BROKER": broker},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def servers(process):
    return [int(pid) for pid in process.stdout.readline().split()]


def test_exit_code_is_passed_on_and_nothing_is_left():
    with backing("7", broker="postgresql") as process:
        pids = servers(process)
        assert len(pids) == 1
        assert process.wait(timeout=30) == 7
        assert all_gone(pids)


@pytest.mark.usefixtures("needs_rabbitmq")
def test_killed_command_takes_postgresql_and_rabbitmq_with_it():
    with backing("wait", broker="rabbitmq") as process:
        pids = servers(process)
        assert len(pids) == 3  # postgres, epmd, rabbitmq
        process.kill()
        eventually(lambda: all_gone(pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_ends_cleanly(number):
    with backing("wait", broker="postgresql") as process:
        pids = servers(process)
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(timeout=30) != 0
        assert all_gone(pids)


def test_servers_of_a_running_stack_are_refused():
    """`status --env` names them: the tests of another clone would change them."""
    running = {"RABBITMQ_URL": f"amqp://{rights.AUDIT}:x@127.0.0.1:1/%2F"}
    ended = subprocess.run(
        [sys.executable, "-m", "stack.backing", "--", "true"],
        cwd=ROOT,
        env={**os.environ, **running},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert "those of a running stack" in ended.stderr
