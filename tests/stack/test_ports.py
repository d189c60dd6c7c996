import os
import socket

import pytest

from stack.console import StackError
from stack.ports import FREE_RANGE, free_ports, is_free, require_free


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_free_ports_are_different_and_out_of_the_way_of_outgoing_connections():
    found = free_ports(20)
    assert len(set(found)) == 20
    assert all(FREE_RANGE[0] <= port < FREE_RANGE[1] for port in found)


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
