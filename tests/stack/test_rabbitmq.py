import socket
import threading

import pytest

from stack import rabbitmq
from stack.console import StackError
from stack.ports import free_ports


@pytest.fixture
def node(folder, supervisor, needs_rabbitmq):
    made = rabbitmq.private(folder=folder, ports=free_ports(3))
    made.prepare()
    for program in made.programs:
        supervisor.start(program)
    made.wait(check=supervisor.check)
    yield made
    supervisor.close()


def test_private_node_accepts_only_its_own_client(node):
    assert rabbitmq.check_login(node.url, timeout=5) == f"RabbitMQ {rabbitmq.version()}"
    with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
        rabbitmq.check_login(node.url.replace(node.passwords["dueto"], "guessed"), timeout=5)
    with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
        rabbitmq.check_login(
            node.url.replace(f"dueto:{node.passwords['dueto']}", "guest:guest"), timeout=5
        )
    with pytest.raises(ConnectionError, match="vhost"):
        rabbitmq.check_login(node.url.replace("%2F", "elsewhere"), timeout=5)


def test_broker_of_three_nodes_names_them_and_keeps_their_number(folder):
    made = rabbitmq.private(folder=folder, ports=range(1, 8))
    assert [program.name for program in made.programs] == [
        *("epmd", "rabbitmq", "rabbitmq-2", "rabbitmq-3")
    ]
    assert made.url.endswith("@127.0.0.1:2,127.0.0.1:4,127.0.0.1:6/%2F")
    assert len({node.node for node in made.nodes}) == 3
    with pytest.raises(StackError, match="--broker-nodes 3"):
        rabbitmq.private(folder=folder, ports=range(1, 4))


def test_login_needs_but_one_host_that_answers(node):
    # No server listens at port 1.
    two = node.url.replace("@", "@127.0.0.1:1,")
    assert rabbitmq.check_login(two, timeout=5) == f"RabbitMQ {rabbitmq.version()}"
    with pytest.raises(ConnectionError, match=r"refused; .*refused"):
        rabbitmq.check_login("amqp://127.0.0.1:1,127.0.0.1:1", timeout=5)


def test_server_with_another_protocol_is_recognized():
    def answer(server):
        link, _ = server.accept()
        with link:
            link.recv(8)
            link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=[server])
        thread.start()
        url = f"amqp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConnectionError, match="not supported"):
            rabbitmq.check_login(url, timeout=5)
        thread.join()


def test_url_of_something_else_is_refused():
    with pytest.raises(ConnectionError, match="amqp://"):
        rabbitmq.check_login("http://broker", timeout=5)
