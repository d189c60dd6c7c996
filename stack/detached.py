"""A stack that runs in a session of its own: started, waited for, stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from stack import identity
from stack.errors import StackError
from stack.folders import Folder
from stack.interruption import Interruption
from stack.options import Options
from stack.progress import Announce
from stack.record import FILE, clear_leftovers, read

_MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
_STOP_SECONDS = 60.0


def start(*, options: Options, announce: Announce) -> None:
    """Returns when it is ready; tells what it says until then. Raises StackError when it fails;
    interrupted, it takes the stack down again."""
    identity.require_handles()
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
    if not identity.wait_for_end(supervisor, seconds=_STOP_SECONDS):
        announce(f"process {supervisor['pid']} doesn't stop: killing it")
        identity.end(supervisor, seconds=0.0)
    folder.lock()
    clear_leftovers(folder)
    return True


def _spawn(options: Options, log: Path) -> subprocess.Popen[bytes]:
    chosen = ["--broker", options.broker]
    chosen += ["--saga", options.saga] if options.saga else []
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
    with open(log) as said:
        while not _is_ready(supervisor, folder):
            has_ended = supervisor.poll() is not None
            _pass_on(said, announce)
            if has_ended:
                raise StackError(f"it has not started, for the reason above (also in {log})")
            time.sleep(0.1)
        _pass_on(said, announce)


def _is_ready(supervisor: subprocess.Popen[bytes], folder: Folder) -> bool:
    record = folder.read(FILE)
    return bool(record and record["ready"] and record["supervisor"]["pid"] == supervisor.pid)


def _pass_on(said: TextIO, announce: Announce) -> None:
    for line in said.read().splitlines():
        announce(line)
