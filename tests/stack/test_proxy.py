"""The proxy between a client and a server: a network with faults on demand."""

import contextlib
import socket
import threading

import pytest

from stack.proxy import Proxy
from tests.waiting import eventually


class Echoing:
    """A server that echoes, until it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError):
                    while data := client.recv(100):
                        client.sendall(data)


@pytest.fixture
def server():
    running = Echoing()
    yield running
    running.close()


@pytest.fixture
def proxy(server):
    made = Proxy("127.0.0.1", server.port)
    yield made
    made.close()


def connect(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def is_echoed(client):
    with contextlib.suppress(OSError):
        client.sendall(b"hello")
        return client.recv(100) == b"hello"
    return False


def test_bytes_go_there_and_back(proxy):
    with connect(proxy) as client:
        assert is_echoed(client)


def test_cut_ends_open_connections_and_new_ones_are_accepted(proxy):
    with connect(proxy) as client:
        assert is_echoed(client)
        proxy.cut()
        assert not is_echoed(client)
    with connect(proxy) as client:
        assert is_echoed(client)


def test_proxy_refuses_until_it_listens_again(proxy):
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.listen()
    with connect(proxy) as client:
        assert is_echoed(client)


def test_proxy_ends_connections_to_a_server_that_is_away_and_accepts_others(proxy, server):
    server.close()
    for _ in range(2):
        with connect(proxy) as client:
            assert not is_echoed(client)


def test_proxy_forgets_a_connection_that_has_ended(proxy):
    with connect(proxy) as client:
        assert is_echoed(client)
        assert proxy.connections == 1
    eventually(lambda: proxy.connections == 0)
