"""The shop as its users call it, and a few reads of its databases."""

import itertools
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import urllib3

from catalogue import SAGAS
from contracts.patterns import PATTERNS
from contracts.refusals import NOT_STARTED
from stack.local import LocalStack
from tests import documented
from tests.waiting import eventually

ENDED = {"completed", "failed", "compensated"}
STATE_PATHS = {
    name: (pattern.coordinator, pattern.state.format(saga_id="{}"))
    for name, pattern in PATTERNS.items()
}
START_PATHS = {
    name: (pattern.coordinator, pattern.state.format(saga_id="checkout"))
    for name, pattern in PATTERNS.items()
}
OWNED_IN = {
    "carrito": "carrito_checkout",
    "pedidos": "pedidos_order",
    "reservas": "reservas_booking",
}
"""Each owner's table of accepted sagas."""
PRICE = Decimal("12.50")


class Wish(NamedTuple):
    """A saga to request: the body for its owner's path."""

    saga: str
    body: dict[str, Any]


class Shop:
    """Calls the running stack, and checks each answer against the documents, unless the stack has
    paths that are not the shop's.
    """

    def __init__(self, stack: LocalStack, *, is_documented: bool = True) -> None:
        self.stack = stack
        self._is_documented = is_documented
        self._http = urllib3.PoolManager(maxsize=64, retries=False, timeout=30)
        self._numbers = itertools.count()

    def call(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and body of one call."""
        response = self.request(method, service, path, body, **headers)
        return response.status, response.json() if response.data else None

    def request(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        extra = {} if body is None else {"json": body}
        url = self.stack.urls[service] + path
        response = self._http.request(method, url, headers=named, **extra)
        if self._is_documented and response.status != 500:
            kind = response.headers.get("Content-Type", "")
            answer = documented.Answer(response.status, kind, response.data)
            assert documented.check_call(service, method, path, answer) == []
        return response

    def product(self, *, quantity: int, price: str = str(PRICE)) -> str:
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
            ids += [cart["data"]["id"] for cart in made]
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
        """Starts all; repeats each under its key until it is accepted. Returns the sagas' ids."""
        paired = zip(carts, itertools.cycle(patterns), strict=False)
        wishes = [Wish("checkout", body_of(cart, pattern)) for cart, pattern in paired]
        return self.begin_all(wishes, at_once=at_once)

    def wishes(
        self,
        count: int,
        *,
        saga: str,
        pattern: str,
        product: str,
        quantity: int = 1,
        method: str = "credit_card",
        destination: dict[str, str] | None = None,
    ) -> list[Wish]:
        """That many requests of a saga, each for some units of a product; at carrito, with a filled
        cart.
        """
        if SAGAS[saga].owner == "carrito":
            carts = self.carts(count, product=product, quantity=quantity)
            return [Wish(saga, body_of(cart, pattern, method) | {"saga": saga}) for cart in carts]
        order = {
            "user_id": "ana",
            "product_id": product,
            "quantity": quantity,
            "amount": str(PRICE * quantity),
            "payment_method": method,
            "destination": destination or {},
            "saga": saga,
            "saga_pattern": pattern,
        }
        return [Wish(saga, order)] * count

    def begin(self, wish: Wish, **headers: str) -> tuple[int, Any]:
        """Status and body of its owner's answer."""
        definition = SAGAS[wish.saga]
        return self.call("POST", definition.owner, definition.door, wish.body, **headers)

    def begin_all(self, wishes: Sequence[Wish], *, at_once: int = 32) -> list[str]:
        """Starts all; repeats each under its key until it is accepted. Returns the sagas' ids."""
        with ThreadPoolExecutor(at_once) as threads:
            return list(threads.map(self._begin_for_certain, wishes))

    def accepted(self, saga_id: str, *, saga: str) -> dict[str, Any]:
        """The saga at its owner."""
        owner = SAGAS[saga].owner
        status, body = self.call("GET", owner, f"/{owner}/accepted/{saga_id}")
        assert status == 200, body
        return dict(body)

    def status(self, saga_id: str) -> dict[str, Any]:
        """Carrito's answer."""
        status, body = self.call("GET", "carrito", f"/orders/saga/{saga_id}/status")
        assert status == 200, body
        return dict(body)

    def ended(self, saga_id: str, *, seconds: float = 120) -> dict[str, Any]:
        """Carrito's answer once the saga has ended."""

        def look() -> dict[str, Any] | None:
            saga = self.status(saga_id)
            return saga if saga["status"] in ENDED else None

        return dict(eventually(look, seconds=seconds, what=f"saga {saga_id} ends"))

    def all_ended(
        self, saga_ids: Sequence[str], *, saga: str = "checkout", seconds: float = 180
    ) -> Counter[str]:
        """The number of sagas by end, read at their owner."""
        owner = SAGAS[saga].owner

        def look() -> Counter[str] | None:
            counted = Counter(
                status
                for (status,) in self.rows(
                    owner,
                    f"SELECT status FROM {OWNED_IN[owner]} WHERE saga_id = ANY(%s)",
                    [list(saga_ids)],
                )
            )
            return counted if set(counted) <= ENDED and counted.total() == len(saga_ids) else None

        return Counter(eventually(look, seconds=seconds, what=f"every {saga} ends"))

    def state(self, saga_id: str, pattern: str) -> dict[str, Any]:
        """The coordinator's answer."""
        service, path = STATE_PATHS[pattern]
        status, body = self.call("GET", service, path.format(saga_id))
        assert status == 200, body
        return dict(body)

    def state_when(self, saga_id: str, pattern: str, *statuses: str) -> dict[str, Any]:
        """The coordinator's answer once the saga has this status."""

        def look() -> dict[str, Any] | None:
            saga = self.state(saga_id, pattern)
            return saga if saga["status"] in statuses else None

        return dict(eventually(look, what=f"{pattern} {saga_id} is {statuses}"))

    def compensate(self, saga_id: str, pattern: str, **asked: str) -> tuple[int, Any]:
        """Status and body of the coordinator's answer, once it knows the saga."""
        service, path = STATE_PATHS[pattern]

        def ask() -> tuple[int, Any] | None:
            answer = self.call("POST", service, f"{path.format(saga_id)}/compensate", asked)
            return None if answer[0] == 409 and answer[1]["code"] == NOT_STARTED else answer

        return tuple(eventually(ask, what=f"{service} knows {saga_id}"))  # type: ignore[return-value]

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

    def delivery(self, saga_id: str) -> dict[str, Any] | None:
        """The delivery of an order, as envios shows it; None if there is none."""
        status, body = self.call("GET", "envios", f"/deliveries?order_id={saga_id}")
        assert status == 200, body
        return body["results"][0] if body["results"] else None

    def courier(self, *, capacity: int) -> dict[str, str]:
        """An area in which a new courier, and no other, takes that many deliveries at once."""
        province = f"Province {uuid.uuid4()}"
        body = {"name": "Eva", "province": province, "capacity": capacity}
        status, made = self.call("POST", "envios", "/couriers", body)
        assert status == 201, made
        return {"province": province}

    def rows(self, alias: str, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read from a service's database."""
        with psycopg.connect(self.stack.superuser_urls[alias]) as connection:
            return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def audit(self) -> None:
        """Raises with the breaches, if there are any."""
        environment = self.stack.audit_environment
        self.stack.run("python", "manage.py", "audit", "--wait", "60", **environment)

    def _begin_for_certain(self, wish: Wish) -> str:
        key = str(uuid.uuid4())

        def attempt() -> str | None:
            try:
                status, body = self.begin(wish, Idempotency_Key=key)
            except urllib3.exceptions.HTTPError:
                return None
            assert status in (202, 500, 502, 503), body
            return body["saga_id"] if status == 202 else None

        return str(eventually(attempt, seconds=180, what=f"the {wish.saga} is accepted"))


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


def end_of_refused(*, saga: str, step: str) -> str:
    """The status of a saga that is refused at this step: `failed` if no step had to be undone."""
    return "compensated" if SAGAS[saga].position(step) > 1 else "failed"
