"""JSON lines over a socket pair, between `compare` and the generator that it started.

A pipe of its own because Locust writes tables to stdout. When either side dies, however it dies,
the kernel closes its end and the other side sees that.
"""

import json
import socket
from typing import Any

FILE_NUMBER_VARIABLE = "DUETO_ARRIVALS_FD"


class Gone(Exception):
    """The other side has ended, or said nothing in time."""


class Channel:
    """One end. Works the same in a process that gevent has patched."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def send(self, message: dict[str, Any]) -> None:
        """Raises Gone."""
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Gone(f"the other side does not listen any more: {error}") from error

    def receive(self, *, within: float | None = None) -> dict[str, Any]:
        """The next message. Raises Gone at the end, or when none came in `within` seconds."""
        self._connection.settimeout(within)
        while b"\n" not in self._received:
            try:
                more = self._connection.recv(65536)
            except TimeoutError as error:
                raise Gone(f"nothing was said for {within:.0f} s") from error
            except OSError as error:
                raise Gone(str(error)) from error
            if not more:
                raise Gone("the other side has ended")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        self._connection.close()
