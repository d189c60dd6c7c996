import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from stack.children import unprivileged
from stack.console import StackError
from stack.ports import FREE_RANGE, free_ports, is_free, require_free
from tests.stack.watching import run_python

ASKS_WITH_THE_SAME_LUCK = """
import os, random, sys
from stack import ports

random.seed(7)
if "without claims" in sys.argv:
    ports._is_claimed = lambda first: True
if "forked" in sys.argv:
    ports.free_ports(1)
    os.fork()
line = " ".join(str(port) for port in ports.free_ports(20)) + "\\n"
os.write(1, line.encode())  # at once, so that lines of two are not mixed
sys.stdin.read()
"""


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_free_ports_are_different_and_out_of_the_way_of_outgoing_connections():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(FREE_RANGE[0] <= port < FREE_RANGE[1] for port in ports)


def test_two_processes_at_once_get_no_port_twice():
    first, second = _asked_at_once()
    assert len(first) == len(second) == 20
    assert not first & second


def test_without_claims_two_processes_at_once_get_the_same_ports():
    """The control of the test above: neither listens yet, so each port looks free to both."""
    first, second = _asked_at_once("without claims")
    assert first & second


def test_forked_child_goes_on_with_other_ports_than_its_parent():
    with run_python(ASKS_WITH_THE_SAME_LUCK, "forked", stdin=subprocess.PIPE) as parent:
        first, second = _printed_ports(parent), _printed_ports(parent)
    assert len(first) == len(second) == 20
    assert not first & second


def test_taken_port_is_not_free(taken):
    assert not is_free(taken)


def test_port_with_a_lingering_connection_is_free(taken):
    """As after a restart: servers may listen there again at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # closed by the server first, so its side lingers
    assert is_free(port)


def test_busy_port_names_itself_its_holder_and_the_way_out(taken):
    with pytest.raises(StackError) as refused:
        require_free({"carrito": taken, "pagos": free_ports(1)[0]}, host="127.0.0.1")
    message = str(refused.value)
    assert f"{taken} (for carrito) is taken by process {os.getpid()}" in message
    assert "DUETO_PORT_BASE" in message
    assert "pagos" not in message


def test_port_that_only_root_may_have_is_not_called_taken():
    first_for_all = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    low = next((port for port in range(1, first_for_all) if is_free(port)), None)
    if low is None:
        pytest.skip("this kernel gives every user every port")
    with _without_root(), pytest.raises(StackError, match=rf"{low} \(for carrito\) needs root"):
        require_free({"carrito": low}, host="127.0.0.1")


@contextmanager
def _without_root() -> Iterator[None]:
    """Without root's rights, where we have them."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(unprivileged().uid)
    yield
    os.seteuid(before)


def _asked_at_once(*how: str) -> list[set[int]]:
    """The ports of each of two processes, while both run."""
    with ExitStack() as running:
        both = [
            running.enter_context(run_python(ASKS_WITH_THE_SAME_LUCK, *how, stdin=subprocess.PIPE))
            for _ in range(2)
        ]
        return [_printed_ports(process) for process in both]


def _printed_ports(process: subprocess.Popen[str]) -> set[int]:
    return {int(port) for port in process.stdout.readline().split()}
