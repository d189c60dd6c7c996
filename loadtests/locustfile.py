"""Shoppers for a load test by hand, with Locust's web page or without.

    locust -f loadtests/locustfile.py

It loads the shop of `manage.py up` (on DUETO_PORT_BASE, if that is set), or that of `--host`.
Each shopper makes a cart, fills it, checks out in one pattern after the other, and waits for the
outcome. Rows: `checkout <pattern>` is the acceptance (the 202); `saga <pattern>` lasts from the
same moment until the outcome, which is polled with a short backoff (so it is a few milliseconds too
long). With `--rate 25` shoppers start at times that were fixed beforehand, for `--seconds`
(load/open_loop.py); `ARRIVAL shop` is then the whole time of a shopper. An expected refusal (a
declined card) is not a failure; any other unexpected outcome is.

With authentication, shoppers send DUETO_TOKEN (it needs the scopes shop and catalogue:write and
must not expire during the test; its person is then the user of all carts). Without it, tokens are
made with the keys in DUETO_KEYS, or else in .dueto/keys, which are readable only where the stack
runs.
"""

import itertools
import os
import random
import sys
import time
import uuid
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import flask
import gevent
from gevent.hub import Hub
from gevent.pool import Group
from locust import FastHttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import WorkerRunner

from stack.folders import MANAGE

# Locust may have been started from another folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from accounts import passes
from contracts.doors import CATALOGUE_WRITE, Scope
from loadtests.load import shopper
from loadtests.load.open_loop import OpenLoop
from loadtests.load.windows import Arrivals, offsets

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.25
OUTCOME_SECONDS = 30.0
USUAL_HOST = f"http://127.0.0.1:{os.environ.get('DUETO_PORT_BASE') or 3000}"
OF_THE_SHOP = shopper.WITH_CONTROL
PRODUCTS = 20
STOCK = 10_000_000

# Locust logs a StopTest in one line; gevent's traceback would only repeat it.
Hub.NOT_ERROR = (*Hub.NOT_ERROR, StopTest)

_named: set[str] = set()
"""The hosts that the command line names."""
ROOT = Path(__file__).resolve().parents[1]
_SHOWN = os.environ.get("DUETO_TOKEN", "")
_passes = passes.found_in(ROOT / ".dueto" / "keys")

_products: list[str] = []
"""Made for this test when it starts, so that the sample catalogue is not sold out."""


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    parser.set_defaults(web_host="127.0.0.1")  # the page has no authentication
    group = parser.add_argument_group("Dueto")
    group.add_argument(
        "--patterns",
        default=",".join(shopper.THE_TWO),
        env_var="DUETO_PATTERNS",
        help="which patterns the shoppers use in turn",
    )
    group.add_argument(
        "--declined",
        type=float,
        default=0.0,
        env_var="DUETO_DECLINED",
        help="share of checkouts with a declined card, 0 to 1",
    )
    fixed = "shoppers per second, at times fixed beforehand (Poisson); default: those of --users"
    group.add_argument("--rate", type=float, default=0.0, help=fixed)
    group.add_argument("--seconds", type=float, default=60.0, help="how long, with --rate")
    group.add_argument(
        "--inventory",
        default="",
        env_var="INVENTARIO_SERVICE_URL",
        help="where inventario is; default: the port after the host's",
    )


@events.init.add_listener
def note_named(environment: Environment, **_: Any) -> None:
    """The hosts on the command line may be loaded; the page may choose these, or this machine."""
    options: Any = environment.parsed_options
    _named.update(_host_of(url) for url in (options.host, options.inventory) if url)


@events.init.add_listener
def guard_page(environment: Environment, **_: Any) -> None:
    """Checks the hosts that the page sends, also during a test; and refuses the forms of other
    origins, as the page has no authentication.
    """
    app = environment.web_ui.app if environment.web_ui else None
    if app is None:
        return

    @app.before_request
    def refuse() -> tuple[str, int] | None:
        origin = flask.request.headers.get("Origin", "")
        if origin and urlsplit(origin).netloc != flask.request.host:
            return "Requests from another origin are refused.", 403
        try:
            _require_named(*flask.request.form.getlist("host"))
        except ValueError as error:
            return str(error), 400
        return None


@events.test_start.add_listener
def stock_up(environment: Environment, **_: Any) -> None:
    """Makes the products of this test, or stops it."""
    options: Any = environment.parsed_options
    try:
        shopper.patterns(text=options.patterns, known=OF_THE_SHOP)
        Shopper.fixed_count = 1 if options.rate else 0
        host = environment.host or USUAL_HOST
        inventory = options.inventory or _next_port(host)
        if not isinstance(environment.runner, WorkerRunner):  # a worker's master has checked it
            _require_named(host, inventory)
        _require_carrito(environment, host)
        _products[:] = _made(environment, inventory)
    except (ValueError, OSError) as error:
        environment.process_exit_code = 1
        raise StopTest(str(error)) from None


def _authorization(name: str, *scopes: Scope) -> dict[str, str]:
    """DUETO_TOKEN for everyone, else a token made with the keys that were found, else nothing."""
    return passes.bearer(_SHOWN) if _SHOWN else _passes.person(name, *scopes)


class Shopper(OpenLoop, FastHttpUser):
    """A shopper, who waits for the outcome of a checkout before the next; with a rate, each starts
    at a fixed time."""

    host = USUAL_HOST
    wait_time = between(0.1, 0.5)

    def schedule(self) -> list[float]:
        options = self.environment.parsed_options
        seed = random.randrange(2**31)  # noqa: S311 -- arrival times, no secret
        return offsets(
            arrivals=Arrivals.POISSON, rate=options.rate, seconds=options.seconds, seed=seed
        )

    def start(self, group: Group) -> gevent.Greenlet:
        of = OpenLoop if self.environment.parsed_options.rate else FastHttpUser
        return of.start(self, group)

    def on_start(self) -> None:
        options = self.environment.parsed_options
        named = shopper.patterns(text=options.patterns, known=OF_THE_SHOP)
        # In random order, so that all patterns have load from the first second.
        self._patterns = itertools.cycle(random.sample(named, len(named)))
        self._declined = float(options.declined)
        self._name = f"shopper-{uuid.uuid4().hex[:8]}"
        self.client.auth_header = _authorization(self._name).get("Authorization")
        # With DUETO_TOKEN the user is the token's person.
        self._named = {} if _SHOWN else {"user_id": self._name}

    @task
    def shop(self) -> None:
        cart_id = self._filled_cart()
        if cart_id:
            self._check_out(cart_id, next(self._patterns))

    def _filled_cart(self) -> str:
        """Its id; empty if the shop made none (its row then shows a failure)."""
        made = self.client.post("/carts", json=self._named, name="make cart")
        if made.status_code != 201:
            return ""
        cart_id = str(made.json()["id"])
        for product in random.sample(_products, random.randint(1, 3)):  # noqa: S311 -- a mix of shoppers, no secret
            item = {"product_id": product, "quantity": random.randint(1, 3)}  # noqa: S311 -- a mix of shoppers, no secret
            self.client.post(f"/carts/{cart_id}/items", json=item, name="add item")
        return cart_id

    def _check_out(self, cart_id: str, pattern: str) -> None:
        is_declined = random.random() < self._declined  # noqa: S311 -- a mix of shoppers, no secret
        card = shopper.DECLINED_CARD if is_declined else shopper.GOOD_CARD
        body = shopper.checkout(cart_id=cart_id, payment_method=card)
        body |= {**self._named, "saga_pattern": pattern}
        started = time.perf_counter()
        with self.client.post(
            "/checkout/saga", json=body, name=f"checkout {pattern}", catch_response=True
        ) as answer:
            if answer.status_code != 202:
                answer.failure(f"status {answer.status_code}: {answer.text}")
                return
            url = answer.json()["status_url"]
        status = self._outcome(url, pattern)
        is_expected = shopper.is_expected(payment_method=card, status=status)
        self.environment.events.request.fire(
            request_type="SAGA",
            name=f"saga {pattern}",
            response_time=(time.perf_counter() - started) * 1000,
            response_length=0,
            exception=None if is_expected else ValueError(f"{status} with {card}"),
            context={},
        )

    def _outcome(self, url: str, pattern: str) -> str:
        """The final status, or the last one seen when the wait was over."""
        pause, status, deadline = FIRST_PAUSE, "unknown", time.monotonic() + OUTCOME_SECONDS
        while status not in shopper.FINAL and time.monotonic() < deadline:
            gevent.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            answer = self.client.get(url, name=f"status {pattern}")
            if answer.status_code == 200:
                status = str(answer.json()["status"])
        return status


def _require_named(*urls: str) -> None:
    """Raises ValueError for a host that is neither this machine nor on the command line, so that no
    web page can aim the load at others.
    """
    for url in urls:
        host = _host_of(url)
        if host not in (*_named, "localhost") and not _is_loopback(host):
            raise ValueError(f"{url} is another machine: name it on the command line (--host)")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def _next_port(host: str) -> str:
    """inventario's usual URL, given carrito's. Raises ValueError if that is not a URL."""
    parts = urlsplit(host)
    if not parts.hostname:
        raise ValueError(f"{host!r} is not a URL like http://127.0.0.1:3000 (--host)")
    return f"{parts.scheme}://{parts.hostname}:{(parts.port or 80) + 1}"


def _require_carrito(environment: Environment, host: str) -> None:
    """Raises OSError if carrito does not answer at this host."""
    path = "/health/live"
    answer = _session(environment, host).get(path, name="carrito is live")
    if answer.status_code != 200 or answer.json().get("service") not in ("carrito", "dueto"):
        raise OSError(
            f"carrito does not answer at {host}{path} ({_why(answer)}): start the shop with"
            f" `{MANAGE} up`, or give its URL with --host"
        )


def _made(environment: Environment, url: str) -> list[str]:
    """The ids of the new products. Raises OSError if inventario makes none."""
    run = uuid.uuid4().hex[:8]
    bodies = [
        shopper.product(name=f"Load test {run} {n}", quantity=STOCK, sku=f"LOCUST-{run}-{n}")
        for n in range(PRODUCTS)
    ]
    answer = _session(environment, url).post(
        "/api/products",
        json=bodies,
        headers=_authorization("locust", CATALOGUE_WRITE),
        name="make products",
    )
    if answer.status_code != 207:
        raise OSError(
            f"inventario at {url} made no products ({_why(answer)}): start it, or give its URL"
            " with --inventory"
        )
    return [str(product["data"]["id"]) for product in answer.json()]


def _session(environment: Environment, url: str) -> FastHttpSession:
    return FastHttpSession(base_url=url, request_event=environment.events.request, user=None)


def _why(answer: Any) -> str:
    return str(getattr(answer, "error", None) or f"{answer.status_code} {answer.text}"[:200])
