"""Several processes of each kind, with nginx in front of web processes: all of them are restarted
under load, and no request fails.
"""

import itertools
import os
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import urllib3

from catalogue.services import BY_NAME
from httpapi import serving
from stack import record, replicas, status
from stack.children import Program
from stack.console import StackError
from stack.folders import Folder
from stack.local import LocalStack
from stack.ports import free_ports
from stack.services import needed_by
from tests.checkout.shop import Shop
from tests.installed import need
from tests.stack.watching import ROOT
from tests.waiting import eventually

PATTERNS = ("orchestrated", "orchestrated_messaging", "choreographed")
SHOPPERS = 6
SERVICES = [BY_NAME[name] for name in needed_by("checkout") if name != "dashboard"]
KINDS = [kind for service in SERVICES for kind in replicas.kinds_of(service)]


@pytest.fixture(scope="module")
def stack():
    need(str(replicas.PROGRAM), package="nginx-light")
    with LocalStack(
        fresh=True,
        free_ports=True,
        use_given=False,
        saga="checkout",
        replicas=dict.fromkeys(KINDS, 2),
    ) as running:
        yield running


class Shoppers:
    """Keep buying over kept connections, each time in another pattern, until stopped. No request is
    repeated. `failures`: their texts.
    """

    def __init__(self, stack, product):
        self._url, self._product = stack.urls["carrito"], product
        self._http = urllib3.PoolManager(maxsize=SHOPPERS, retries=False, timeout=30)
        self._is_over = threading.Event()
        self.count = 0
        self.failures: list[str] = []
        self.sagas: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(SHOPPERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        patterns = itertools.cycle(PATTERNS)
        while not self._is_over.wait(0.05):
            try:
                self._buy(next(patterns))
            except (urllib3.exceptions.HTTPError, AssertionError) as error:
                self.failures.append(repr(error))

    def _buy(self, pattern):
        items = [{"product_id": self._product, "quantity": 1}]
        cart = self._ask("POST", "/carts", {"user_id": "ana", "items": items})
        body = {"cart_id": str(cart["id"]), "payment_method": "credit_card", "user_id": "ana"}
        address = {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES"}
        body |= {"billing_address": address, "saga_pattern": pattern}
        saga = self._ask("POST", "/checkout/saga", body)["saga_id"]
        self.sagas.append(saga)
        self._ask("GET", f"/orders/saga/{saga}/status")

    def _ask(self, method, path, body=None):
        extra = {} if body is None else {"json": body}
        self.count += 1
        answer = self._http.request(method, self._url + path, **extra)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.data!r}"
        return answer.json()


def restart(stack, names):
    """Ends the processes by SIGTERM, as a deployment does; the stack restarts them."""
    before = {name: stack.processes[name] for name in names}
    for pid in before.values():
        os.kill(pid, signal.SIGTERM)
    eventually(
        lambda: all(stack.processes.get(name, pid) != pid for name, pid in before.items()),
        seconds=60,
        what="all are started again",
    )
    stack.wait_ready()


@pytest.mark.timeout(300)
def test_all_replicas_are_restarted_in_turn_and_no_request_fails(stack, record_property):
    shop = Shop(stack)
    product = shop.product(quantity=1_000_000)
    with Shoppers(stack, product) as shoppers:
        eventually(lambda: len(shoppers.sagas) > SHOPPERS, what="they buy")
        for number in (1, 2):
            restart(stack, [f"{kind}.{number}" for kind in KINDS])
        enough = len(shoppers.sagas) + 5 * SHOPPERS
        eventually(lambda: len(shoppers.sagas) > enough, what="they still buy")
    record_property("requests", f"{shoppers.count}, {len(shoppers.failures)} failed")
    assert shoppers.failures == []
    assert shop.all_ended(shoppers.sagas) == {"completed": len(shoppers.sagas)}
    shop.audit()


def test_request_for_a_replica_that_was_killed_is_answered_by_another(stack):
    stack.kill("carrito.web.1", signal.SIGKILL)
    with urllib3.PoolManager(retries=False, timeout=30) as http:
        for _ in range(20):
            assert http.request("GET", stack.urls["carrito"] + "/health/live").status == 200
    stack.wait_ready()


def test_status_shows_each_replica_by_its_name(stack):
    known = record.read(stack.folder)
    rows = {row.process: row for row in status.read(known, stack.folder).rows}
    names = {f"{kind}.{number}" for kind in KINDS for number in (1, 2)}
    assert names | {"nginx"} <= set(rows)
    assert all(rows[name].is_healthy for name in names)
    assert rows["carrito.web.1"].address != rows["carrito.web.2"].address
    stack.stop_process("pagos.worker.2")
    known = record.read(stack.folder)
    rows = {row.process: row.health for row in status.read(known, stack.folder).rows}
    assert (rows["pagos.worker.1"], rows["pagos.worker.2"]) == ("ok", "not running")
    stack.restart("pagos.worker.2")
    stack.wait_ready()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("carrot.web=2", "no process 'carrot.web' here"),
        ("tarjetas.worker=2", "no process 'tarjetas.worker' here"),
        ("dashboard.web=2", "can.t be replicated"),
        ("carrito.web=0", "from 1 to 12, as in carrito.web=2"),
        ("carrito.web=13", "from 1 to 12"),
        ("carrito.web=two", "needs a whole number"),
        ("carrito.web", "needs a whole number"),
        ("carrito.web=2,carrito.web=3", "is named twice"),
    ],
)
def test_replicas_that_cannot_be_are_refused(text, message):
    with pytest.raises(StackError, match=message):
        replicas.read(text)


def test_replicas_are_read_as_they_are_written():
    counts = replicas.read(" carrito.web=2, pagos.worker=3,pagos.web=1 ")
    assert counts == {"carrito.web": 2, "pagos.worker": 3}
    assert replicas.read(replicas.written(counts)) == counts
    assert replicas.read("") == {}


def test_process_of_a_service_that_does_not_run_is_refused():
    with pytest.raises(StackError, match=r"no process 'envios\.web' here"):
        replicas.read("envios.web=2", services=SERVICES)


def test_without_nginx_it_says_how_to_install_it(place, monkeypatch):
    monkeypatch.setattr(replicas, "PROGRAM", Path("/nowhere/nginx"))
    stack = LocalStack(folder=place, fresh=True, free_ports=True, replicas={"carrito.web": 2})
    with pytest.raises(StackError, match="apt-get install nginx-light"):
        stack.start()
    assert list((place / "fresh").iterdir()) == []


SERVES = "from httpapi import serving; serving.main()"
APPLICATION = """
from httpapi import serving

def application(variables, start_response):
    variables["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

serving.let_in()
"""
CLIENTS, MOST_RESTARTS = 8, 12


class Replicas:
    """Two web processes of a small application, and nginx before them. `drain`: for how many
    seconds; 0: they stop as Granian does.
    """

    def __init__(self, place, supervisor, *, drain):
        (place / "small.py").write_text(APPLICATION)
        listens, *behind = free_ports(3)
        self.url = f"http://127.0.0.1:{listens}"
        self.ports = dict(zip(("carrito.web.1", "carrito.web.2"), behind, strict=True))
        self.nginx = replicas.nginx(
            folder=Folder(place / "state"),
            host="127.0.0.1",
            listens={"carrito": listens},
            ports=self.ports,
        )
        self.nginx.prepare()
        self._place, self._drain, self._supervisor = place, drain, supervisor
        supervisor.start(self.nginx.program)
        for name in self.ports:
            supervisor.start(self._program(name))
        for name in self.ports:
            self.serves(name)

    def _program(self, name):
        drain = {
            "DUETO_DRAIN_FILE": str(self.nginx.drain_file(name)),
            "DUETO_DRAIN_SECONDS": str(self._drain),
        }
        arguments = ("--interface", "wsgi", "--port", str(self.ports[name]))
        return Program(
            name=name,
            argv=(sys.executable, "-c", SERVES, *arguments, "small:application"),
            environment=os.environ
            | {"PYTHONPATH": f"{ROOT}:{self._place}"}
            | (drain if self._drain else {}),
            folder=self._place,
            log=self._place / f"{name}.log",
        )

    def serves(self, name):
        """Returns once this process takes requests again."""
        drains = self.nginx.drain_file(name).exists
        eventually(
            lambda: not drains() and answers(f"http://127.0.0.1:{self.ports[name]}"),
            what=f"{name} serves",
        )

    def restart(self, name):
        """Ends the process by SIGTERM, and starts a new one once it has exited."""
        self._supervisor.restart(name)
        self.serves(name)


def answers(url):
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def failures_of_posts(running, *, most_restarts):
    """Clients POST without a pause, and without a key, while replicas are restarted in turn; up to
    that many restarts, or the first failure.
    """
    http = urllib3.PoolManager(maxsize=CLIENTS, retries=False, timeout=30)
    failures, is_over = [], threading.Event()

    def post():
        while not is_over.is_set():
            try:
                answer = http.request("POST", running.url, body=b"x" * 100)
                if answer.status != 200:
                    failures.append(f"{answer.status} {answer.data!r}")
            except urllib3.exceptions.HTTPError as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=post) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for name in itertools.islice(itertools.cycle(running.ports), most_restarts):
        running.restart(name)
        if failures:
            break
    is_over.set()
    for thread in threads:
        thread.join()
    return failures


@pytest.fixture
def small(place, supervisor):
    need(str(replicas.PROGRAM), package="nginx-light")
    return partial(Replicas, place, supervisor)


def test_posts_without_a_key_meet_no_restart(small):
    assert failures_of_posts(small(drain=1.0), most_restarts=4) == []


def test_posts_without_draining_meet_a_restart(small):
    """The control: Granian stops just after nginx has sent it a POST, which may not be repeated."""
    assert failures_of_posts(small(drain=0), most_restarts=MOST_RESTARTS)


def test_web_process_serves_on_after_sigterm_and_announces_that_it_drains(small, supervisor):
    running = small(drain=2.0)
    name, port = next(iter(running.ports.items()))
    os.kill(supervisor.pids()[name], signal.SIGTERM)
    eventually(running.nginx.drain_file(name).exists, what="it announces that it drains")
    assert answers(f"http://127.0.0.1:{port}"), "requests in flight are served"
    eventually(lambda: not answers(f"http://127.0.0.1:{port}"), what="it has ended")
    assert running.nginx.drain_file(name).exists(), "until it serves again"


def test_web_process_is_sent_requests_only_once_it_listens(tmp_path, monkeypatch):
    """The application may be loaded before that."""
    drains, tries, connect = tmp_path / "drains", [], socket.create_connection

    def tried(*where, **options):
        tries.append(where)
        return connect(*where, **options)

    drains.touch()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        monkeypatch.setattr(socket, "create_connection", tried)
        monkeypatch.setenv(serving.FILE, str(drains))
        monkeypatch.setenv(serving.LISTENS, f"{listening.getsockname()[1]}@127.0.0.1")
        serving.let_in()
        eventually(lambda: len(tries) > 1, what="it has been refused")
        assert drains.exists()
        listening.listen()
        eventually(lambda: not drains.exists(), what="it wants requests")


def test_second_sigterm_ends_the_drain(small, supervisor):
    running = small(drain=60.0)
    name, port = next(iter(running.ports.items()))
    pid = supervisor.pids()[name]
    os.kill(pid, signal.SIGTERM)
    eventually(running.nginx.drain_file(name).exists, what="it drains")
    assert answers(f"http://127.0.0.1:{port}")
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not answers(f"http://127.0.0.1:{port}"), seconds=30, what="it has ended")
