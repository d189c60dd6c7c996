"""Products, filled carts and a courier for a run, made over the API outside the timed parts."""

import json
from collections.abc import Sequence
from typing import Any

import urllib3

from loadtests.load import shopper
from loadtests.shop import Shop

CARTS_A_CALL = 500
PLENTY = 1_000_000
USER = "load-test"


class NotSupplied(Exception):
    """The shop did not make what a load test needs."""


class Supplier:
    """Makes them. One a run, so that runs never share stock."""

    def __init__(self, *, shop: Shop, run: str) -> None:
        self._shop = shop
        self._run = run
        self._made = 0
        self._pool = urllib3.PoolManager(
            retries=False, timeout=30.0, headers={"Content-Type": "application/json"}
        )

    def products(self, *, count: int, quantity: int) -> list[str]:
        """The ids of new products, with so many of each in stock. Raises NotSupplied."""
        first = self._made + 1
        self._made += count
        skus = [f"LOAD-{self._run}-{number}" for number in range(first, self._made + 1)]
        body = [
            shopper.product(name=f"Load test {sku}", quantity=quantity, sku=sku) for sku in skus
        ]
        return self._ids(f"{self._shop.urls['inventario']}/api/products", body)

    def carts(self, *, contents: Sequence[Sequence[str]]) -> list[str]:
        """The ids of new carts, in order, each with one of every product named for it.

        Raises NotSupplied.
        """
        ids: list[str] = []
        for start in range(0, len(contents), CARTS_A_CALL):
            body = [
                {
                    "user_id": USER,
                    "items": [{"product_id": product, "quantity": 1} for product in products],
                }
                for products in contents[start : start + CARTS_A_CALL]
            ]
            ids += self._ids(f"{self._shop.urls['carrito']}/carts", body)
        return ids

    def courier(self, *, capacity: int) -> None:
        """One who serves where the orders go to, so many at once. Raises NotSupplied."""
        body = shopper.courier(name=f"Load test {self._run}", capacity=capacity)
        self._post(f"{self._shop.urls['envios']}/couriers", body, 201)

    def _ids(self, url: str, body: Any) -> list[str]:
        made = self._post(url, body, 207)
        refused = [one for one in made if one["outcome"] != "done"]
        if refused:
            raise NotSupplied(f"POST {url}: {refused[0]}")
        return [str(one["data"]["id"]) for one in made]

    def _post(self, url: str, body: Any, expected: int) -> Any:
        try:
            answer = self._pool.request("POST", url, body=json.dumps(body))
        except urllib3.exceptions.HTTPError as error:
            raise NotSupplied(f"POST {url}: {error}") from error
        if answer.status != expected:
            raise NotSupplied(f"POST {url}: {answer.status} {answer.data[:300]!r}")
        return json.loads(answer.data)
