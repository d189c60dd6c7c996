"""A small TCP proxy in front of a server: a second address of it, or the faults of a network."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from stack.ports import free_ports

CONNECT_SECONDS = 5.0
_READ_BYTES = 65536


class Proxy:
    """Forwards connections to `host:port`, until told otherwise.

    A server that is away is met as it would be without the proxy: the connection ends at once.
    """

    def __init__(self, host: str, port: int, *, on: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        """Listens there; where no port is given on a free one: `port`. Raises OSError where it
        can't, StackError where none is free."""
        self._target = (host, port)
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        # Not one of the kernel's: while we refuse, it might use that for an outgoing connection.
        self._host, self.port = on[0], on[1] or free_ports(1)[0]
        self.listen()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._pairs)

    def listen(self) -> None:
        """Take connections, on the same port as before."""
        if self._listener is None:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._listener = socket.create_server((self._host, self.port), family=family)
            self._spawn(self._accept, self._listener)

    def refuse(self) -> None:
        """Take no connections any more, and cut those that are there."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """End all connections that are there, with nothing said on either side."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(pair)
        self._flowing.set()

    def freeze(self) -> None:
        """Let nothing through any more, while all connections stay."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything through again."""
        self._flowing.set()

    def tell_clients(self, data: bytes) -> None:
        """Send something to all clients, as if the server had."""
        for client, _ in list(self._pairs):
            client.sendall(data)

    def close(self) -> None:
        """Stop, with all threads and sockets."""
        self.refuse()
        for thread in list(self._threads):
            thread.join(10)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # we were told to listen no more
            while True:
                client, _ = listener.accept()
                self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """A thread of its own: a server that is slow to take one client keeps off no other."""
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
            # Small messages go back and forth: they must not wait to become bigger ones.
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
