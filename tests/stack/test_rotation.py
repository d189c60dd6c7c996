"""All keys are rotated while shoppers buy: no request is refused, and no saga is lost."""

import threading
import time
from pathlib import Path
from typing import Any

from accounts import passes
from accounts.holders import HOLDERS, Holders
from contracts.doors import CATALOGUE_WRITE
from httpapi.keys import SERVICE_SECONDS
from stack.local import LocalStack
from tests.checkout.shop import Shop
from tests.waiting import eventually

PATTERNS = ("orchestrated", "orchestrated_messaging", "choreographed")
LASTS = SERVICE_SECONDS + 10
"""Seconds until every token of an old key has expired."""


class Shopper:
    """Keeps buying, each time in another pattern, until stopped."""

    def __init__(self, shop: Shop, product: str, asked: passes.Passes) -> None:
        self._shop, self._product, self._asked = shop, product, asked
        self.statuses: list[int] = []
        self.sagas: list[str] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(0.2):
            self._buy(PATTERNS[len(self.sagas) % len(PATTERNS)])

    def _buy(self, pattern: str) -> None:
        items = [{"product_id": self._product, "quantity": 1}]
        # Each time another person, as one person may have only a few sagas in flight.
        headers = self._asked.person(f"shopper-{len(self.sagas)}")
        cart = self._ask(headers, "POST", "/carts", {"items": items})
        body = {"cart_id": str(cart["id"]), "payment_method": "credit_card"}
        address = {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES"}
        body = {**body, "billing_address": address, "saga_pattern": pattern}
        self.sagas.append(self._ask(headers, "POST", "/checkout/saga", body)["saga_id"])

    def _ask(self, headers: passes.Headers, method: str, path: str, body: Any = None) -> Any:
        status, given = self._shop.call(method, "carrito", path, body, **headers)
        self.statuses.append(status)
        assert status < 300, given
        return given

    def ends(self) -> list[str]:
        """The statuses of all their sagas."""
        states = [
            self._ask(self._asked.person(f"shopper-{at}"), "GET", f"/orders/saga/{saga_id}/status")
            for at, saga_id in enumerate(self.sagas)
        ]
        return [saga["status"] for saga in states]


def _new_product(shop: Shop, asked: passes.Passes) -> str:
    headers = asked.person("acme", CATALOGUE_WRITE)
    body = {"name": "Keys", "price": "12.50", "quantity": 10_000, "sku": "keys"}
    status, made = shop.call("POST", "inventario", "/api/products", body, **headers)
    assert status == 201, made
    return str(made["id"])


def _kids(folder: Path) -> dict[str, list[str]]:
    return {name: [key["kid"] for key in Holders(folder).keys_of(name)] for name in HOLDERS}


def test_keys_are_exchanged_under_load_without_a_lost_request(place: Path) -> None:
    with LocalStack(
        folder=place, fresh=True, free_ports=True, use_given=False, auth="required"
    ) as stack:
        asked = passes.of(stack.environment)
        folder = Path(stack.environment["DUETO_KEYS"])
        shop = Shop(stack)
        before = _kids(folder)
        shopper = Shopper(shop, _new_product(shop, asked), asked)
        try:
            eventually(lambda: len(shopper.sagas) > 5, seconds=60)
            stack.run("python", "manage.py", "keys", "new", "--after", "1")
            assert all(len(kids) == 2 for kids in _kids(folder).values())
            bought, until = len(shopper.sagas), time.monotonic() + LASTS
            eventually(lambda: time.monotonic() > until, seconds=LASTS + 5)
            stack.run("python", "manage.py", "keys", "retire")
            after = _kids(folder)
            services = set(HOLDERS) - {"dueto-accounts"}
            assert all(len(after[name]) == 1 and after[name] != before[name] for name in services)
            more = len(shopper.sagas) + 10
            eventually(lambda: len(shopper.sagas) > more, seconds=60)
        finally:
            shopper.stop()
        assert len(shopper.sagas) > bought + 20
        assert set(shopper.statuses) <= {200, 201, 202}
        eventually(lambda: set(shopper.ends()) == {"completed"}, seconds=60)
