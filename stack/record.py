"""The run of a clone: written down for `down`, `status` and the next `up`; started in a session
of its own, waited for, stopped.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from stack import children
from stack.console import Announce, Interruption, StackError
from stack.folders import MANAGE, Folder
from stack.replicas import written
from stack.services import RECORD, Options

FILE = RECORD
_MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
_LEFTOVER_SECONDS, _STOP_SECONDS = 10.0, 60.0


def write(
    folder: Folder, *, is_ready: bool, processes: Mapping[str, int], facts: Mapping[str, Any]
) -> None:
    """Writes it anew: who supervises, which processes there are, and `facts`."""
    known = {name: children.identify(pid) for name, pid in processes.items()}
    folder.write(
        FILE,
        {
            "supervisor": children.identify(os.getpid()),
            "ready": is_ready,
            "processes": {name: process for name, process in known.items() if process},
            **facts,
        },
    )


def read(folder: Folder) -> dict[str, Any] | None:
    """The note of the run that is alive, or None."""
    found = folder.read(FILE)
    return found if found and children.is_alive(found["supervisor"]) else None


def claim(path: Path) -> Folder:
    """The state folder, locked for us, with nothing of an earlier run left alive.

    Raises StackError when a run of this clone is alive.
    """
    folder = Folder(path)
    if not folder.lock():
        other = (folder.read(FILE) or {}).get("supervisor") or {}
        raise StackError(
            f"already running in this clone (process {other.get('pid', 'unknown')}):"
            f" `{MANAGE} status` shows it, `{MANAGE} down` stops it."
        )
    clear_leftovers(folder)
    return folder


def clear_leftovers(folder: Folder) -> None:
    """After a killed supervisor its processes may still be on their way out, holding ports and
    data: waits for them, and ends those that stay."""
    found = folder.read(FILE)
    for known in (found or {}).get("processes", {}).values():
        children.end(known, seconds=_LEFTOVER_SECONDS)
    folder.remove(FILE)


def start_detached(*, options: Options, announce: Announce) -> None:
    """Returns when it is ready; tells what it says until then. Raises StackError when it fails;
    interrupted, it takes the stack down again."""
    folder = Folder(options.folder)
    log = folder.log("up")
    interruption = Interruption()
    interruption.listen()
    supervisor = _spawn(options, log)
    try:
        _follow(supervisor, folder, log, announce)
    except BaseException:
        interruption.ignore()
        _end(supervisor)
        raise
    finally:
        interruption.restore()


def stop(*, folder: Folder, announce: Announce) -> bool:
    """Stops the run of this folder and claims the folder; whether there was one.

    Raises StackError when it belongs to another user.
    """
    record = read(folder)
    if record is None:
        if not folder.lock():
            raise StackError("something of this clone is just starting: try again in a moment")
        clear_leftovers(folder)
        return False
    supervisor = record["supervisor"]
    try:
        os.kill(supervisor["pid"], signal.SIGTERM)
    except PermissionError as error:
        raise StackError(f"process {supervisor['pid']} belongs to another user") from error
    if not children.wait_for_end(supervisor, seconds=_STOP_SECONDS):
        announce(f"process {supervisor['pid']} doesn't stop: killing it")
        children.end(supervisor, seconds=0.0)
    folder.lock()
    clear_leftovers(folder)
    return True


def _spawn(options: Options, log: Path) -> subprocess.Popen[bytes]:
    chosen = ["--broker", options.broker, "--broker-nodes", str(options.broker_nodes)]
    chosen += ["--saga", options.saga] if options.saga else []
    chosen += ["--replicas", written(options.replicas)] if options.replicas else []
    chosen += ["--standby"] if options.standby else []
    chosen += [] if options.restarts else ["--fixed"]
    with open(log, "ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command
            (sys.executable, str(_MANAGE), "up", "--supervise", *chosen),
            cwd=_MANAGE.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    """Gives it the time that it needs to take down what it has started, and no more."""
    supervisor.terminate()
    try:
        supervisor.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def _follow(
    supervisor: subprocess.Popen[bytes], folder: Folder, log: Path, announce: Announce
) -> None:
    with open(log) as output:
        while not _is_ready(supervisor, folder):
            has_ended = supervisor.poll() is not None
            _announce_lines(output, announce)
            if has_ended:
                raise StackError(f"it has not started, for the reason above (also in {log})")
            time.sleep(0.1)
        _announce_lines(output, announce)


def _is_ready(supervisor: subprocess.Popen[bytes], folder: Folder) -> bool:
    record = folder.read(FILE)
    return bool(record and record["ready"] and record["supervisor"]["pid"] == supervisor.pid)


def _announce_lines(output: TextIO, announce: Announce) -> None:
    for line in output.read().splitlines():
        announce(line)
