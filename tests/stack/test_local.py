"""The stack as one object; with a single service, to be fast."""

import os
import signal
import socket
import subprocess
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from catalogue import SAGAS
from catalogue.services import ALL, BY_NAME, COORDINATORS
from contracts.projection import services_of
from stack import children, record, status
from stack.console import StackError
from stack.local import LocalStack, Options, require_same_length, second_addresses
from stack.ports import free_ports, usual_ports
from stack.proxy import Proxy
from stack.services import needed_by
from tests.stack.watching import all_gone, is_gone, run_python
from tests.waiting import eventually

STARTS_ONE_SERVICE = """
import pathlib, sys
from stack.local import LocalStack

with LocalStack(
    folder=pathlib.Path(sys.argv[1]), fresh=True, free_ports=True, names=("pagos",),
    broker="postgresql", announce=print,
) as stack:
    print(*stack.processes.values())
    input()
"""


@pytest.fixture
def stack(place, announced):
    with LocalStack(
        folder=place,
        fresh=True,
        free_ports=True,
        names=("pagos", "tarjetas"),
        broker="postgresql",
        with_admin=True,
        announce=announced.append,
    ) as running:
        yield running


def test_services_reach_their_servers_by_the_detour(place, announced):
    proxies = []

    def detour(url):
        parts = urlsplit(url)
        proxies.append(Proxy("127.0.0.1", int(parse_qs(parts.query)["port"][0])))
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@127.0.0.1:{proxies[-1].port}"
        return parts._replace(netloc=netloc, query="").geturl()

    with LocalStack(
        folder=place,
        fresh=True,
        free_ports=True,
        names=("pagos",),
        broker="postgresql",
        detour=detour,
        announce=announced.append,
    ) as stack:
        assert status.ask(stack.urls["pagos"], "/health/ready")[0] == status.OK
        assert any(proxy.connections for proxy in proxies)
        for proxy in proxies:
            proxy.refuse()
        assert status.ask(stack.urls["pagos"], "/health/ready")[0] != status.OK
        for proxy in proxies:
            proxy.listen()
        stack.wait_ready()
    for proxy in proxies:
        proxy.close()


def test_services_run_recover_and_end_without_a_trace(stack, place):
    assert set(stack.processes) == {"postgres", "pagos.web", "pagos.worker", "tarjetas.web"}
    assert stack.rabbitmq_url is None
    assert stack.admin["user"] == "admin"
    for name in ("pagos.web", "pagos.worker", "tarjetas.web"):
        before = stack.processes[name]
        stack.kill(name, signal.SIGKILL)
        stack.wait_ready()
        assert stack.processes[name] != before
    stack.stop_process("pagos.worker")
    with pytest.raises(StackError, match=r"pagos\.worker is not running"):
        stack.wait_ready(seconds=0.0)
    stack.restart("pagos.worker")
    stack.wait_ready()
    pids = list(stack.processes.values())
    stack.stop()
    eventually(lambda: all_gone(pids))
    assert list((place / "fresh").iterdir()) == []


@pytest.mark.parametrize("moment", ["PostgreSQL", "services ready"])
def test_stack_interrupted_twice_at_any_moment_leaves_nothing(place, moment):
    with run_python(STARTS_ONE_SERVICE, str(place), stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            if moment in line:
                break
        pids = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        assert pids
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
        assert process.wait(timeout=30) != 0
    assert output.index("stopping") < output.index("stopped ")
    eventually(lambda: all_gone(pids))
    assert list((place / "fresh").iterdir()) == []


def test_busy_port_is_found_before_anything_is_started(place, monkeypatch):
    base = free_ports(1)[0] - 2  # so that the port of pagos is ours
    monkeypatch.setenv("DUETO_PORT_BASE", str(base))
    stack = LocalStack(folder=place, fresh=True, announce=print)
    message = rf"{base + 2} \(for pagos\).*process {os.getpid()}"
    busy = socket.create_server(("127.0.0.1", base + 2))
    with busy, pytest.raises(StackError, match=message):
        stack.start()
    assert not (place / "fresh").exists() or list((place / "fresh").iterdir()) == []


def test_second_run_keeps_the_admins_password_and_status_shows_it(place, monkeypatch):
    monkeypatch.delenv("DUETO_ADMIN_PASSWORD", raising=False)
    shown = []
    for _ in range(2):
        with LocalStack(
            folder=place,
            free_ports=True,
            names=("dashboard",),
            broker="postgresql",
            with_admin=True,
            announce=str,
        ) as stack:
            known = record.read(stack.folder)
            shown.append(status.as_table(known, status.read(known, stack.folder)))
            login = f"{stack.urls['dashboard']}/admin/ as admin, password {stack.admin['password']}"
            assert login in shown[-1]
    assert shown[0].partition("password ")[2][:8] == shown[1].partition("password ")[2][:8]


def test_data_of_checkouts_with_other_steps_are_refused(folder, monkeypatch):
    monkeypatch.delenv("DUETO_EXTRA_STEPS", raising=False)
    require_same_length(folder)
    require_same_length(folder)
    monkeypatch.setenv("DUETO_EXTRA_STEPS", "2")
    with pytest.raises(StackError, match=r"with DUETO_EXTRA_STEPS=0, but it is 2 now.*--purge"):
        require_same_length(folder)


@pytest.mark.parametrize("base", ["many", "0", "65535"])
def test_invalid_port_base_is_refused(place, monkeypatch, base):
    monkeypatch.setenv("DUETO_PORT_BASE", base)
    with pytest.raises(StackError, match="DUETO_PORT_BASE"):
        LocalStack(folder=place, fresh=True).start()


def test_ports_are_the_usual_ports_or_counted_from_a_base():
    assert usual_ports(base=None)["carrito"] == 3000
    assert usual_ports(base=None)["dashboard"] == 8080
    assert list(usual_ports(base=4000).values()) == list(range(4000, 4000 + len(ALL)))
    assert usual_ports(base=4000)["dashboard"] == 4005, "a new service moves no other port"


@pytest.mark.parametrize("saga", SAGAS)
def test_saga_needs_its_participants_and_coordinators(saga):
    chosen = [service.name for service in Options(saga=saga).services]
    part = services_of(SAGAS[saga])
    asked = {other for name in part for other in BY_NAME[name].asks}
    assert set(chosen) == {*part, *asked, *COORDINATORS, "dashboard"}
    assert ("tarjetas" in chosen) == ("pagos" in part)
    assert chosen == list(needed_by(saga))


def test_second_addresses_are_for_the_usual_ports(monkeypatch):
    monkeypatch.delenv("DUETO_PORT_BASE", raising=False)
    assert Options().second_ports() == {"inventario": 8002, "pagos": 8003}
    assert Options(free_ports=True).second_ports() == {}
    monkeypatch.setenv("DUETO_PORT_BASE", "4000")
    assert Options().second_ports() == {}


def test_second_address_that_is_taken_is_reported_and_stops_nothing(announced):
    first, second = free_ports(2)
    with socket.create_server(("127.0.0.1", first)) as service:
        opened = second_addresses(
            wanted={"inventario": second, "pagos": first},
            ports={"inventario": first, "pagos": 3002},
            options=Options(announce=announced.append),
        )
        with socket.create_connection(("127.0.0.1", second), timeout=10) as client:
            client.sendall(b"x")
            reached, _ = service.accept()
            with reached:
                assert reached.recv(1) == b"x"
        opened["inventario"].close()
    assert set(opened) == {"inventario"}
    (message,) = announced
    assert f"pagos is on 3002 only: its second port {first} is taken" in message
    assert f"process {os.getpid()}" in message


def test_health_without_an_answer_is_a_complaint_with_the_reason():
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert "refused" in status.complaint(url)


def test_pid_that_another_process_has_now_is_not_taken_for_the_old_process():
    known = children.identify(os.getpid())
    assert children.is_alive(known)
    assert not children.is_alive({**known, "started": known["started"] - 1})
    assert is_gone(2**22 + 1)
