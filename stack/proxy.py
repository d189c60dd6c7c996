"""A small TCP proxy in front of a server: a second address, or the faults of a network."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from stack.ports import free_ports

CONNECT_SECONDS = 5.0
_READ_BYTES = 65536


class Proxy:
    """Forwards connections to `host:port`. If the server is down, a connection ends at once."""

    def __init__(self, host: str, port: int, *, on: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        """`on`: host and port to listen on; with port 0 on a free one, see `port`. Raises OSError,
        StackError if no port is free."""
        self._target = (host, port)
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        # Not chosen by the kernel, which might use it for an outgoing connection while we refuse.
        self._host, self.port = on[0], on[1] or free_ports(1)[0]
        self.listen()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._pairs)

    def listen(self) -> None:
        """Take connections, on the same port as before."""
        if self._listener is None:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._listener = socket.create_server((self._host, self.port), family=family)
            self._spawn(self._accept, self._listener)

    def refuse(self) -> None:
        """Take no more connections, and cut the open ones."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """End all open connections, without a message to either side."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(pair)
        self._flowing.set()

    def freeze(self) -> None:
        """Forward nothing, but keep all connections open."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward everything again."""
        self._flowing.set()

    def tell_clients(self, data: bytes) -> None:
        """Send data to all clients, as if from the server."""
        for client, _ in list(self._pairs):
            client.sendall(data)

    def close(self) -> None:
        """Stop, with all threads and sockets."""
        self.refuse()
        for thread in list(self._threads):
            thread.join(10)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """Runs in a thread per client, so that a slow connect delays no other client."""
        with client:
            try:
                server = socket.create_connection(self._target, CONNECT_SECONDS)
            except OSError:
                return
            with server:
                server.settimeout(None)
                self._join(client, server)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        pair = (client, server)
        for end in pair:
            # Small messages must not wait to be merged (Nagle's algorithm).
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._pairs.append(pair)
        back = self._spawn(self._forward, server, client)
        self._forward(client, server)
        back.join()
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                self._flowing.wait()
                target.sendall(data)
        _end((source, target))

    def _spawn(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name="proxy", daemon=True)
        thread.start()
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(thread)
        return thread


def _end(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
