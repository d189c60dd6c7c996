"""HTTP/1.1 at the least cost: whole requests encoded beforehand, over kept-alive connections.

For the generator only, which shares the machine with the shop that it measures: 0.3 ms of CPU a
checkout with everything, against 0.5 ms through geventhttpclient and 0.67 ms through Locust's
FastHttpSession (2 cores, 500/s). It knows what Dueto's services answer with: a status, and a body
with a Content-Length.
"""

import socket

_END_OF_HEAD = b"\r\n\r\n"
_MOST = 65536


class BadAnswer(OSError):
    """What came back is not an answer that this client knows to read."""


def post(*, host: str, path: str, body: bytes) -> bytes:
    """A whole request, ready to be sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connections:
    """Connections to one server, made when none is free. Blocks the greenlet, never the process.

    There is no limit to them and no timeout: who waits, and how long, is the caller's business.
    """

    def __init__(self, *, host: str, port: int) -> None:
        self._address = (host, port)
        self._free: list[socket.socket] = []

    def exchange(self, *, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError, and then the outcome is in doubt."""
        connection = self._free.pop() if self._free else self._connect()
        try:
            connection.sendall(request)
            answer = _read(connection)
        except BaseException:
            connection.close()
            raise
        self._free.append(connection)
        return answer

    def close(self) -> None:
        """Closes those that are free."""
        while self._free:
            self._free.pop().close()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _read(connection: socket.socket) -> tuple[int, bytes]:
    received = _more(connection)
    while _END_OF_HEAD not in received:
        received += _more(connection)
    head, _, body = received.partition(_END_OF_HEAD)
    length = _length(head)
    while len(body) < length:
        body += _more(connection)
    return int(head[9:12]), body


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(_MOST)
    if not received:
        raise BadAnswer("the connection was closed before the answer was complete")
    return received


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise BadAnswer(f"an answer without Content-Length: {head[:80]!r}")
