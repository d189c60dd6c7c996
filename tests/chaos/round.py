"""One round: sagas of one kind and pattern, their expected ends, and the check."""

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import psycopg
import urllib3

from catalogue import SAGAS
from contracts.patterns import ORCHESTRATED, PATTERNS
from contracts.refusals import NOT_STARTED
from tests.chaos.triggers import Triggers
from tests.checkout.shop import OWNED_IN, PRICE, STATE_PATHS, Shop, Wish, end_of_refused
from tests.waiting import eventually

T = TypeVar("T")
AWAY = 503
LATER = {500, 502, 503, 504}
"""Statuses after which to retry."""


class Wanted(NamedTuple):
    """The stock of one product, by a saga that has not begun."""

    wish: Wish
    product: str


class RetryingShop(Shop):
    """The shop while its database may be restarting: reads are repeated until the database is back,
    and calls if the answer shows that nothing was done.
    """

    def call(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        def ask() -> tuple[int, Any] | None:
            answer = super(RetryingShop, self).call(method, service, path, body, **headers)
            return None if answer[0] == AWAY else answer

        return tuple(eventually(ask, seconds=180, what=f"{method} {path} is no 503"))  # type: ignore[return-value]

    def rows(self, alias: str, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        look = super().rows
        return retry_while_away(lambda: look(alias, statement, values))

    def write(self, alias: str, statement: str, values: Sequence[Any] | None = None) -> None:
        """Writes directly to a service's database: passes time, makes or ends a fault."""

        def write() -> None:
            with psycopg.connect(self.stack.superuser_urls[alias]) as connection:
                connection.execute(statement, values)  # type: ignore[arg-type]

        retry_while_away(write)


def retry_while_away(act: Callable[[], T]) -> T:
    """The result, once the database accepts connections."""
    got: list[T] = []

    def attempt() -> bool:
        try:
            got.append(act())
        except psycopg.OperationalError:
            return False
        return True

    eventually(attempt, seconds=180, what="the database is there")
    return got[0]


class Round:
    """The tools of a situation. Products and carts are made before any process is killed."""

    def __init__(
        self, shop: RetryingShop, triggers: Triggers, pattern: str, saga: str = "checkout"
    ) -> None:
        self.shop, self.triggers, self.pattern, self.saga = shop, triggers, pattern, saga
        self.owner = SAGAS[saga].owner
        self.owned_in = OWNED_IN[self.owner]
        self.coordinator = STATE_PATHS[pattern][0]
        self.expected: dict[str, str] = {}
        """How each saga must end."""
        self._products: dict[str, str] = {}
        self._sold: dict[str, int] = {}
        self._initial: dict[str, int] = {}

    @property
    def steps_run_in(self) -> str:
        """The kind of process in which the participants do their steps."""
        return "web" if self.pattern == ORCHESTRATED else "worker"

    # Before.

    def wanted(self, count: int, *, quantity: int | None = None) -> list[Wanted]:
        """Requests that all want the same new product, with enough stock, or `quantity`."""
        units = count if quantity is None else quantity
        product = self.shop.product(quantity=max(units, 1))
        wishes = self.shop.wishes(count, saga=self.saga, pattern=self.pattern, product=product)
        if not units:
            path = f"/api/products/{product}/restock"
            self.shop.call("POST", "inventario", path, {"quantity": -1})
        self._initial[product] = units
        self._sold[product] = 0
        return [Wanted(wish, product) for wish in wishes]

    # During.

    def buy(self, wanted: Wanted, *, ends: str = "completed") -> str:
        """The id of an accepted saga, which must end like this."""
        return self.buy_at(self.owner, SAGAS[self.saga].door, wanted, ends=ends)

    def order(self, area: dict[str, str]) -> str:
        """A purchase for that place, whose customer is yet to confirm its payment."""
        asked = {"product_id": "chair", "quantity": 1, "unit_price": str(PRICE)}
        wanted = {"customer_id": 7, "order_items": [asked], "total_amount": str(PRICE)}
        body = {**wanted, **area, "saga_pattern": self.pattern}
        status, made = self.certainly(
            "POST", self.owner, SAGAS[self.saga].door, body, Idempotency_Key=str(uuid.uuid4())
        )
        assert status == 201, made
        self.expected[str(made["saga_id"])] = "completed"
        return str(made["saga_id"])

    def buy_in_vain(self, wanted: Wanted, *, step: str, method: str = "credit_card") -> str:
        """The same for a saga that is refused at this step."""
        body = {**wanted.wish.body, "payment_method": method}
        refused = Wanted(Wish(self.saga, body), wanted.product)
        return self.buy(refused, ends=end_of_refused(saga=self.saga, step=step))

    def buy_at(
        self,
        service: str,
        path: str,
        wanted: Wanted,
        *,
        ends: str = "completed",
        key: str | None = None,
    ) -> str:
        answer = self.certainly(
            "POST", service, path, wanted.wish.body, Idempotency_Key=key or str(uuid.uuid4())
        )
        assert answer[0] == 202, answer
        saga_id = str(answer[1]["saga_id"])
        if saga_id not in self.expected and ends == "completed":
            self._sold[wanted.product] += 1
        self._products[saga_id] = wanted.product
        self.expected[saga_id] = ends
        return saga_id

    def buy_all(self, *wanted: Callable[[], str]) -> list[str]:
        """Calls all at once."""
        with ThreadPoolExecutor(len(wanted)) as threads:
            return [future.result() for future in [threads.submit(call) for call in wanted]]

    def certainly(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """The first answer whose status is not in LATER; until then it repeats the request."""

        def attempt() -> tuple[int, Any] | None:
            try:
                answer = self.shop.call(method, service, path, body, **headers)
            except urllib3.exceptions.HTTPError:
                return None
            return None if answer[0] in LATER else answer

        what = f"{method} {service} {path} is answered"
        return tuple(eventually(attempt, seconds=180, what=what))  # type: ignore[return-value]

    def compensate(self, saga_id: str, *, ends: str = "compensated") -> None:
        """Repeats the request until it is answered; the second time the saga may be in flight."""
        path = STATE_PATHS[self.pattern][1].format(saga_id)

        def ask() -> tuple[int, Any] | None:
            status, body = self.certainly("POST", self.coordinator, f"{path}/compensate", {})
            return None if status == 409 and body["code"] == NOT_STARTED else (status, body)

        status, body = eventually(ask, what="its coordinator knows it")
        assert status in (202, 409), body
        if self.expected[saga_id] == "completed":
            self._sold[self._products[saga_id]] -= 1
        self.expected[saga_id] = ends

    @property
    def door(self) -> str:
        """The coordinator's path to start such a saga."""
        return PATTERNS[self.pattern].state.format(saga_id=self.saga)

    @property
    def hand_over(self) -> str:
        """Where its owner hands a saga over; empty: nowhere."""
        return PATTERNS[self.pattern].hand_over

    def is_there(self, alias: str, selection: str, values: Sequence[Any]) -> bool:
        """Whether a service has a row; `selection`: what follows `SELECT 1 FROM`."""
        return bool(self.shop.rows(alias, f"SELECT 1 FROM {selection}", values))

    # After.

    def wait_until_ended(self, *sagas: str) -> None:
        """Waits until they have ended at their owner."""
        self.shop.all_ended(sagas, saga=self.saga)

    def check(self) -> None:
        """Checks the ends, the stock and the money of these sagas."""
        sagas = list(self.expected)
        self._wait_for_expected(self.owner, self.owned_in, sagas)
        self._wait_for_expected(self.coordinator, f"{self.coordinator}_saga", sagas)
        for product, initial in self._initial.items():
            sold = self._sold[product]
            stock = self.shop.stock(product)
            assert stock == (initial - sold, 0, sold), f"product {product}: {stock}"
        wanted = {saga: PRICE * (self.expected[saga] == "completed") for saga in sagas}
        net = self._net(sagas)
        assert net == wanted, f"{net} is charged instead of {wanted}"

    def _wait_for_expected(self, service: str, table: str, sagas: Sequence[str]) -> None:
        statement = f"SELECT saga_id, status FROM {table} WHERE saga_id = ANY(%s)"
        eventually(
            lambda: dict(self.shop.rows(service, statement, [sagas])) == self.expected,
            seconds=180,
            what=f"in {table} they end as {self.expected}",
        )

    def _net(self, sagas: Sequence[str]) -> dict[str, Decimal]:
        rows = self.shop.rows(
            "pagos",
            "SELECT saga_id, sum(CASE WHEN status IN ('captured', 'refunded') THEN amount"
            " ELSE 0 END) - sum(coalesce((SELECT sum(amount) FROM pagos_refund"
            " WHERE payment_id = payment.id), 0))"
            " FROM pagos_payment AS payment WHERE saga_id = ANY(%s) GROUP BY saga_id",
            [sagas],
        )
        return dict.fromkeys(sagas, Decimal(0)) | dict(rows)
