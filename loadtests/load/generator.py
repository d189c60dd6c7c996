"""The load generator as `compare` sees it: a Locust process that sends one window after another.

It receives them over a pipe of its own, as Locust writes tables to stdout. When either side dies,
the kernel closes its end of the pipe, and the other side notices.
"""

import contextlib
import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, NamedTuple

from stack.ports import free_ports

FILE_NUMBER_VARIABLE = "DUETO_ARRIVALS_FD"
LOCUSTFILE = Path(__file__).with_name("arrivals.py")
HOST = "127.0.0.1"
ROOT = LOCUSTFILE.resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 5.0


class Answer(NamedTuple):
    """The result of a request. Times are seconds since 1970, 0 if it never happened; `error`: or
    empty.
    """

    intended_at: float
    sent_at: float
    answered_at: float
    status: int
    saga_id: str
    error: str


class GeneratorFailed(Exception):
    """Locust could not be started, or ended early. The text has the end of its log."""


class Generator:
    """Starts Locust once, for all windows.

    It runs in a session of its own, so that a Ctrl-C reaches only the command, which then ends it;
    if the command dies before that, the closed pipe ends it.
    """

    def __init__(self, *, url: str, folder: Path, workers: int = 1) -> None:
        """`url`: starts a saga. `workers`: Locust's processes that share the schedule; several have
        a master, which is one more process."""
        self.scheduling = ""
        """How the kernel schedules it, in words; known once it is ready."""
        self._log = folder / "locust.log"
        self._connection, theirs = Pipe()
        with self._log.open("wb") as log, theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our own locustfile
                [
                    *(sys.executable, "-W", "ignore", "-m", "locust", "-f", str(LOCUSTFILE)),
                    *("--headless", "--users", "1", "--host", url),
                    *("--only-summary", "--loglevel", "WARNING", *_shared(workers)),
                ],
                env={**os.environ, FILE_NUMBER_VARIABLE: str(theirs.fileno())},
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Raises GeneratorFailed."""
        self.scheduling = self._receive("ready", START_SECONDS)["scheduling"]

    def send_window(self, *, window: dict[str, Any]) -> dict[str, Any]:
        """Sends a window (see arrivals.WindowMaster) and returns its report at its end. Raises
        GeneratorFailed."""
        try:
            self._connection.send(window)
        except OSError as error:
            raise self._failed(f"it no longer takes windows: {error}") from error
        return self._receive("done", window["seconds"] + window["patience"] + 30)

    def close(self) -> None:
        """Ends Locust, by force if it does not end by itself. Safe to call twice."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # all of its session have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _receive(self, expected: str, within: float) -> dict[str, Any]:
        try:
            if not self._connection.poll(within):
                raise self._failed(f"no message for {within:.0f} s")
            message: dict[str, Any] = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._failed(f"it has ended: {error}") from error
        if message["state"] != expected:
            raise self._failed(message.get("why", f"it is {message['state']!r}"))
        return message

    def _failed(self, why: object) -> GeneratorFailed:
        status = self._process.poll()
        state = "still running" if status is None else f"ended with status {status}"
        log_end = self._log.read_text(errors="replace").strip().splitlines()[-15:]
        return GeneratorFailed(
            "\n".join([f"the load generator: {why} ({state}). Its log ends with:", *log_end])
        )


def _shared(workers: int) -> list[str]:
    """Options of a master that forks this many workers; none for a single process."""
    if workers == 1:
        return []
    (port,) = free_ports(1)
    return [
        *("--processes", str(workers), "--master-bind-host", HOST, "--master-host", HOST),
        *("--master-bind-port", str(port), "--master-port", str(port)),
    ]
