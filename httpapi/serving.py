"""`python -m httpapi.serving`: Granian's own command line, with a server that drains.

Granian stops listening the moment it gets SIGTERM. A proxy that has just chosen this process, or
sends on a connection that it has kept, then meets a reset, and may not repeat a POST. So a web
process that is told to stop first says that it wants nothing new: by a file (DUETO_DRAIN_FILE) that
the local proxy looks for at each request, by `/health/ready`, and by `Connection: close` in each
answer. It serves for DUETO_DRAIN_SECONDS more all the same, and then stops as Granian does: it ends
the requests that run.

The file is there, too, from the start of the process until its application is loaded and it
listens, whichever comes first.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from granian import cli
from granian.server import Server

SECONDS, FILE = "DUETO_DRAIN_SECONDS", "DUETO_DRAIN_FILE"
LISTENS = "DUETO_LISTENS"
"""Where, as `port@host`: told by this process to the one with the application, below it."""
LONGEST, LOOK_SECONDS = 60.0, 0.01
DRAINS = signal.SIGUSR1
"""Tells the process with the application (`waiting.stop_on_signal`)."""


class DrainingServer(Server):
    """Granian's, for one process with the application below this one."""

    drain_seconds = 0.0

    def startup(self, *arguments: object) -> None:
        """Starts the process with the application."""
        turn_away()
        os.environ[LISTENS] = f"{self.bind_port}@{self.bind_addr}"
        super().startup(*arguments)

    def shutdown(self, exit_code: int = 0) -> None:
        """Drains first, where somebody has asked it to stop; who asks again has it stop at once.

        Not for no time at all: where connections close at the very moment at which Granian stops,
        it may wait for them until it is killed (every second process did, 5 s later).
        """
        if self.interrupt_signal and self.drain_seconds:
            self.main_loop_interrupt.clear()
            turn_away()
            for process in multiprocessing.active_children():
                os.kill(process.pid or 0, DRAINS)
            self.main_loop_interrupt.wait(self.drain_seconds)
        super().shutdown(exit_code)


def turn_away() -> None:
    """From now on the proxy sends this process nothing new."""
    if path := os.environ.get(FILE):
        Path(path).touch()


def let_in() -> None:
    """The application is loaded: the proxy may send it requests, from when it listens on."""
    if FILE in os.environ:
        threading.Thread(target=_let_in_once_it_listens, daemon=True).start()


def _let_in_once_it_listens() -> None:
    """What is refused in between goes elsewhere; and nginx leaves alone for a second who refuses
    twice, which may be all that are left.
    """
    port, _, host = os.environ[LISTENS].partition("@")
    pause = threading.Event()
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
        except OSError:
            pause.wait(LOOK_SECONDS)
        else:
            Path(os.environ[FILE]).unlink(missing_ok=True)
            return


def seconds(variables: Mapping[str, str]) -> float:
    """For how long it drains. Raises ValueError where DUETO_DRAIN_SECONDS is no such number."""
    text = variables.get(SECONDS) or "0"
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LONGEST:
        raise ValueError(f"{SECONDS} is {text!r}: it must be a number from 0 to {LONGEST:g}")
    return found


def main() -> None:
    """Exits with 2 where a variable is wrong."""
    try:
        DrainingServer.drain_seconds = seconds(os.environ)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    signal.signal(DRAINS, signal.SIG_IGN)  # until the application listens to it
    cli.Server = DrainingServer
    cli.entrypoint()


if __name__ == "__main__":
    main()
