"""The shop as its users call it, and a few looks behind the counter."""

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import psycopg
import urllib3

from stack.local import LocalStack

ENDED = {"completed", "failed", "compensated"}
STATE_PATHS = {
    "orchestrated": ("saga_orchestrator", "/saga/{}"),
    "choreographed": ("saga_choreography", "/saga/choreography/{}"),
    "orchestrated_messaging": ("saga_orchestrator", "/saga/{}"),
}
START_PATHS = {
    "orchestrated": ("saga_orchestrator", "/saga/checkout"),
    "choreographed": ("saga_choreography", "/saga/choreography/checkout"),
    "orchestrated_messaging": ("saga_orchestrator", "/saga/checkout"),
}


def eventually(condition: Callable[[], Any], *, seconds: float = 30, what: str = "") -> Any:
    """The condition's first true value; fails once the time is over."""
    deadline = monotonic() + seconds
    pause = threading.Event()
    while not (value := condition()):
        if monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        pause.wait(0.02)
    return value


class Shop:
    """Calls the running stack."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self._http = urllib3.PoolManager(maxsize=64, retries=False, timeout=30)
        self._numbers = itertools.count()

    def call(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and body of one call."""
        answer = self.request(method, service, path, body, **headers)
        return answer.status, answer.json() if answer.data else None

    def request(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        extra = {} if body is None else {"json": body}
        url = self.stack.urls[service] + path
        return self._http.request(method, url, headers=named, **extra)

    def product(self, *, quantity: int, price: str = "12.50") -> str:
        """A new product's id."""
        name = f"Test {next(self._numbers)} {uuid.uuid4()}"
        status, made = self.call(
            "POST",
            "inventario",
            "/api/products",
            {"name": name, "price": price, "quantity": quantity, "category": "t", "sku": name},
        )
        assert status == 201, made
        return str(made["id"])

    def carts(self, count: int, *, product: str, quantity: int = 1) -> list[str]:
        """The ids of filled carts."""
        items = [{"product_id": product, "quantity": quantity}]
        ids: list[str] = []
        while len(ids) < count:
            more = min(500, count - len(ids))
            body = [{"user_id": "ana", "items": items}] * more
            status, made = self.call("POST", "carrito", "/carts", body)
            assert status == 207, made
            ids += [one["data"]["id"] for one in made]
        return ids

    def cart(self, *, product: str, quantity: int = 1) -> str:
        return self.carts(1, product=product, quantity=quantity)[0]

    def check_out(
        self, cart: str, pattern: str, *, method: str = "credit_card", **headers: str
    ) -> tuple[int, Any]:
        return self.call(
            "POST", "carrito", "/checkout/saga", body_of(cart, pattern, method), **headers
        )

    def check_out_all(
        self, carts: Sequence[str], patterns: Iterable[str], *, at_once: int = 32
    ) -> list[str]:
        """Starts all, repeating each (under its key) until it is accepted; the sagas' ids."""
        with ThreadPoolExecutor(at_once) as threads:
            return list(threads.map(self._check_out_for_certain, carts, itertools.cycle(patterns)))

    def status(self, saga_id: str) -> dict[str, Any]:
        """As carrito answers it."""
        status, body = self.call("GET", "carrito", f"/orders/saga/{saga_id}/status")
        assert status == 200, body
        return dict(body)

    def ended(self, saga_id: str, *, seconds: float = 30) -> dict[str, Any]:
        """Carrito's answer once it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.status(saga_id)
            return found if found["status"] in ENDED else None

        return dict(eventually(look, seconds=seconds, what=f"saga {saga_id} ends"))

    def all_ended(self, saga_ids: Sequence[str], *, seconds: float = 60) -> Counter[str]:
        """How many ended how."""

        def look() -> Counter[str] | None:
            counted = Counter(
                status
                for (status,) in self.rows(
                    "carrito",
                    "SELECT status FROM carrito_checkout WHERE saga_id = ANY(%s)",
                    [list(saga_ids)],
                )
            )
            return counted if set(counted) <= ENDED and counted.total() == len(saga_ids) else None

        return Counter(eventually(look, seconds=seconds, what="every checkout ends"))

    def state(self, saga_id: str, pattern: str) -> dict[str, Any]:
        """As the coordinator answers it."""
        service, path = STATE_PATHS[pattern]
        status, body = self.call("GET", service, path.format(saga_id))
        assert status == 200, body
        return dict(body)

    def state_when(self, saga_id: str, pattern: str, *statuses: str) -> dict[str, Any]:
        """The coordinator's answer once the saga stands like this."""

        def look() -> dict[str, Any] | None:
            found = self.state(saga_id, pattern)
            return found if found["status"] in statuses else None

        return dict(eventually(look, what=f"{pattern} {saga_id} is {statuses}"))

    def stock(self, product: str) -> tuple[int, int, int]:
        """available, reserved, sold."""
        (row,) = self.rows(
            "inventario",
            "SELECT available, reserved, sold FROM inventario_product WHERE id = %s",
            [int(product)],
        )
        return row  # type: ignore[return-value]

    def money(self, saga_id: str) -> tuple[str, str]:
        """captured and refunded, as the payment shows them."""
        status, body = self.call("GET", "pagos", f"/api/v1/payments/saga/{saga_id}/status")
        return (body["status"], body["amount"]) if status == 200 else ("none", "0.00")

    def rows(self, alias: str, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Straight from a service's database."""
        with psycopg.connect(self.stack.database_urls[alias]) as connection:
            return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def audit(self) -> None:
        """Fails with the breaches, if there are any."""
        self.stack.run("python", "manage.py", "audit", "--wait", "60")

    def _check_out_for_certain(self, cart: str, pattern: str) -> str:
        key = str(uuid.uuid4())

        def attempt() -> str | None:
            try:
                status, body = self.check_out(cart, pattern, Idempotency_Key=key)
            except urllib3.exceptions.HTTPError:
                return None
            assert status in (202, 500, 502, 503), body
            return body["saga_id"] if status == 202 else None

        return str(eventually(attempt, seconds=60, what="the checkout is accepted"))


def body_of(cart: str, pattern: str, method: str = "credit_card") -> dict[str, Any]:
    """The body of a checkout."""
    return {
        "cart_id": cart,
        "user_id": "ana",
        "payment_method": method,
        "billing_address": {
            "street": "Calle Mayor 1",
            "city": "Madrid",
            "country": "ES",
            "postal_code": "28013",
        },
        "saga_pattern": pattern,
    }
