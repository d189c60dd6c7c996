"""The run of a clone: its record for `down`, `status` and the next `up`; starts it detached, waits
for it, stops it.
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
    """Replaces the record: the supervisor, its processes, and `facts`."""
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
    """The record of the current run, or None."""
    found = folder.read(FILE)
    return found if found and children.is_alive(found["supervisor"]) else None


def claim(path: Path) -> Folder:
    """The state folder, locked for us, without processes of an earlier run.

    Raises StackError if this clone already runs.
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
    """Waits for processes of a killed supervisor, which still hold ports and data; kills those that
    stay."""
    found = folder.read(FILE)
    for known in (found or {}).get("processes", {}).values():
        children.end(known, seconds=_LEFTOVER_SECONDS)
    folder.remove(FILE)


def start_detached(*, options: Options, announce: Announce) -> None:
    """Returns when the run is ready; announces its output until then. Raises StackError if it
    fails; if interrupted, it stops the run."""
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
    """Stops the run of this folder, if any, and claims the folder; returns whether there was one.

    Raises StackError if it belongs to another user.
    """
    record = read(folder)
    if record is None:
        if not folder.lock():
            raise StackError("a run of this clone is just starting: try again in a moment")
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
    """Gives it some time to stop what it has started, then kills it."""
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
