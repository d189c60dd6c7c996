"""nginx with the configuration of docker-compose.yml, in front of a running service: slow clients
block a service that is reached directly, but do no harm behind the edge.
"""

import contextlib
import re
import socket
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from httpapi.slots import MOST
from stack import replicas
from stack.local import LocalStack
from stack.ports import free_ports
from stack.services import WEB_THREADS
from tests.architecture.tree import ROOT
from tests.installed import need

NGINX = str(replicas.PROGRAM)
SOON = 5.0
ASKED, ROUNDS = 200, 5
FEW = 8
CONNECTIONS = 20
"""The edge's limit per address: `limit_conn`."""


@pytest.fixture(scope="module")
def stack():
    need(NGINX, package="nginx-light")
    with LocalStack(
        fresh=True, free_ports=True, names=("inventario",), use_given=False, broker="postgresql"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def folder():
    """A folder that nginx's workers can read, which run as the user nobody if we are root."""
    with tempfile.TemporaryDirectory(prefix="dueto-edge-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def configured(*, folder: Path, port: int, target: str, tls: bool = False) -> Path:
    """The configuration for one service, on loopback, otherwise as in the repository."""
    text = (ROOT / "edge" / "nginx.conf").read_text()
    text = text.replace("/tmp/", f"{folder}/")  # noqa: S108 -- of its container, and not of ours
    listen = (ROOT / "edge" / ("tls.conf" if tls else "plain.conf")).read_text()
    listen = re.sub(r"^listen \d+( ssl)?;\n", "", listen, flags=re.MULTILINE)
    listen = listen.replace("/run/secrets/", f"{folder}/")
    listen += f"listen 127.0.0.1:{port}{' ssl' if tls else ''};"
    table = f"map $server_port $service {{\n{port} {target};\n}}"
    text = text.replace("include /etc/nginx/edge/services.conf;", table)
    text = text.replace("include /etc/nginx/edge/listen.conf;", listen)
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def edge(stack, folder):
    """Its URL."""
    (port,) = free_ports(1)
    target = stack.urls["inventario"].removeprefix("http://")
    config = configured(folder=folder, port=port, target=target)
    with serving(config, port=port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def serving(config: Path, *, port: int):
    with subprocess.Popen([NGINX, "-c", str(config), "-g", "daemon off;"]) as process:
        until = time.monotonic() + SOON
        while not _takes_connections(port):
            assert process.poll() is None
            assert time.monotonic() < until
        yield
        process.terminate()


def _takes_connections(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), SOON):
        return True
    return False


@contextlib.contextmanager
def slow_bodies(url: str, *, count: int):
    """That many clients that have sent a byte of their body, and send no more; four from one
    address.
    """
    port = int(url.rpartition(":")[2])
    head = b"POST /api/products HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"
    with contextlib.ExitStack() as clients:
        for number in range(count):
            client = socket.create_connection(
                ("127.0.0.1", port), source_address=(f"127.0.0.{10 + number // 4}", 0)
            )
            clients.enter_context(client).sendall(head)
        yield


def answered(url: str) -> bool:
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return _ask(url) == 200
    return False


def _ask(url: str) -> int:
    return urllib3.request("GET", url + "/health/live", timeout=SOON, retries=False).status


def p99(url: str) -> float:
    """The seconds that a neighbour's reads take."""
    with urllib3.PoolManager(retries=False, timeout=SOON) as http:
        took = []
        for _ in range(ASKED):
            began = time.perf_counter()
            assert http.request("GET", url + "/health/live").status in (200, 429)
            took.append(time.perf_counter() - began)
    return statistics.quantiles(took, n=100)[-1]


def test_behind_the_edge_slow_bodies_do_no_harm(stack, edge):
    """As many as the service has threads: each would block a thread."""
    direct = stack.urls["inventario"]
    quiet, under_attack = [], []
    for _ in range(ROUNDS):  # the best of each: other programs may run here, too
        quiet.append(p99(direct))
        with slow_bodies(edge, count=WEB_THREADS):
            under_attack.append(p99(direct))
            assert answered(edge)
    assert min(under_attack) < 2 * min(quiet)


def test_without_the_edge_a_few_slow_bodies_stop_no_request(stack):
    """The service reads a body before it takes a slot, and has far more threads than slots."""
    with slow_bodies(stack.urls["inventario"], count=MOST // 2):
        assert answered(stack.urls["inventario"])


def test_without_the_edge_as_many_slow_bodies_as_threads_stop_a_service(stack):
    """The control, and why the edge is required: Granian has no time limit for a body."""
    with slow_bodies(stack.urls["inventario"], count=WEB_THREADS + FEW):
        until = time.monotonic() + 4 * SOON
        while answered(stack.urls["inventario"]):  # until each of them has its thread
            assert time.monotonic() < until
    assert answered(stack.urls["inventario"])


def test_slow_body_is_given_up(edge):
    port = int(edge.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=4 * SOON) as client:
        client.sendall(
            b"POST /api/products HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        )
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            client.recv(1)
    assert 4 < time.monotonic() - began < 3 * SOON


def test_connections_of_one_address_are_limited(edge):
    """A further connection is refused at once, and another address is not affected."""
    port = int(edge.rpartition(":")[2])
    head = b"POST /api/products HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
    with contextlib.ExitStack() as clients:
        for _ in range(CONNECTIONS + 1):
            client = clients.enter_context(
                socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.99", 0))
            )
            client.sendall(head)
        client.settimeout(SOON)
        response = client.recv(4096)
        assert response.startswith(b"HTTP/1.1 429")
        assert b"application/problem+json" in response
        assert answered(edge)


def test_edge_speaks_tls_and_passes_scheme_host_and_address_on(folder, stack):
    (port, behind) = free_ports(2)
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", folder / "tls_key", "-out", folder / "tls_certificate"),
        ),
        check=True,
        capture_output=True,
    )
    config = configured(folder=folder, port=port, target=f"127.0.0.1:{behind}", tls=True)
    with (
        socket.create_server(("127.0.0.1", behind)) as service,
        serving(config, port=port),
        urllib3.PoolManager(ca_certs=str(folder / "tls_certificate"), timeout=SOON) as http,
        ThreadPoolExecutor() as threads,
    ):
        future = threads.submit(_receive, service)
        claims = {
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Host": "evil.example",
            "Via": "1.1 x",
        }
        answer = http.request("GET", f"https://localhost:{port}/carts", headers=claims)
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        request = future.result(SOON)
    assert f"Host: localhost:{port}" in request
    assert "X-Forwarded-Proto: https" in request
    assert "X-Forwarded-For: 127.0.0.1" in request
    assert "evil.example" not in request
    assert "Via" not in request


def _receive(service: socket.socket) -> str:
    """The request that reaches the service behind the edge."""
    client, _ = service.accept()
    with client:
        request = client.recv(65536).decode()
        client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    return request
