"""`python -m httpapi.serving`: Granian's own command line, with a server that drains.

Granian stops listening the moment it gets SIGTERM. A proxy that has just chosen this process, or
sends on a kept connection, then gets a reset, and may not repeat a POST. So a web process that is
told to stop first announces that it wants no new requests: by a file (DUETO_DRAIN_FILE) that the
local proxy checks at each request, by `/health/ready`, and by `Connection: close` in each answer.
It serves for DUETO_DRAIN_SECONDS more, and then stops as Granian does, which waits some seconds for
running requests.

The file also exists from the start of the process until its application is loaded and it listens.
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
"""The address, as `port@host`, from this process to its child with the application."""
LONGEST, LOOK_SECONDS = 60.0, 0.01
DRAINS = signal.SIGUSR1
"""The signal to the process with the application (`waiting.stop_on_signal`)."""


class DrainingServer(Server):
    """Granian's server, for one child process with the application."""

    drain_seconds = 0.0

    def startup(self, *arguments: object) -> None:
        """Starts the process with the application."""
        turn_away()
        os.environ[LISTENS] = f"{self.bind_port}@{self.bind_addr}"
        super().startup(*arguments)

    def shutdown(self, exit_code: int = 0) -> None:
        """Drains first, after a signal to stop; a second signal ends the draining.

        Draining has another use: if connections close at the very moment at which Granian stops, it
        may wait for them until it is killed (every second process did, 5 s later).
        """
        if self.interrupt_signal and self.drain_seconds:
            self.main_loop_interrupt.clear()
            turn_away()
            for process in multiprocessing.active_children():
                os.kill(process.pid or 0, DRAINS)
            self.main_loop_interrupt.wait(self.drain_seconds)
        super().shutdown(exit_code)


def turn_away() -> None:
    """Makes the proxy send this process no new requests."""
    if path := os.environ.get(FILE):
        Path(path).touch()


def let_in() -> None:
    """Called once the application is loaded: lets the proxy send requests once it listens."""
    if FILE in os.environ:
        threading.Thread(target=_let_in_once_it_listens, daemon=True).start()


def _let_in_once_it_listens() -> None:
    """Before that, a refused connection would count as a failure: nginx leaves out for a second a
    server that refuses twice, and it may be the last one.
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
    """How long to drain. Raises ValueError for an invalid DUETO_DRAIN_SECONDS."""
    text = variables.get(SECONDS) or "0"
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LONGEST:
        raise ValueError(f"{SECONDS} is {text!r}: it must be a number from 0 to {LONGEST:g}")
    return found


def main() -> None:
    """Exits with 2 if a variable is wrong."""
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
