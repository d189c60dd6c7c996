"""Products and filled carts for a run, made over the API outside the timed parts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import urllib3

from loadtests import shopper
from loadtests.shop import Shop

CARTS_A_CALL = 500
PLENTY = 1_000_000
USER = "load-test"


class NotSupplied(Exception):
    """The shop did not make what a load test needs."""


@dataclass(frozen=True, kw_only=True)
class Goods:
    """A run's own products: `plenty` never runs out."""

    plenty: str


class Supplier:
    """Makes products and carts. One a run, so that runs never share stock."""

    def __init__(self, *, shop: Shop, run: str) -> None:
        self._shop = shop
        self._run = run
        self._made = 0
        self._pool = urllib3.PoolManager(
            retries=False, timeout=30.0, headers={"Content-Type": "application/json"}
        )

    def product(self, *, quantity: int) -> str:
        """The id of a new product. Raises NotSupplied."""
        self._made += 1
        sku = f"LOAD-{self._run}-{self._made}"
        body = shopper.product(name=f"Load test {sku}", quantity=quantity, sku=sku)
        made = self._post(f"{self._shop.urls['inventario']}/api/products", body, 201)
        return str(made["id"])

    def carts(self, *, products: Sequence[str]) -> list[str]:
        """The ids of new carts, one for each product named, each holding one of it.

        Raises NotSupplied.
        """
        ids: list[str] = []
        for start in range(0, len(products), CARTS_A_CALL):
            body = [
                {"user_id": USER, "items": [{"product_id": product, "quantity": 1}]}
                for product in products[start : start + CARTS_A_CALL]
            ]
            for made in self._post(f"{self._shop.urls['carrito']}/carts", body, 207):
                if made["outcome"] != "done":
                    raise NotSupplied(f"carrito made no cart: {made}")
                ids.append(made["data"]["id"])
        return ids

    def _post(self, url: str, body: Any, expected: int) -> Any:
        try:
            answer = self._pool.request("POST", url, body=json.dumps(body))
        except urllib3.exceptions.HTTPError as error:
            raise NotSupplied(f"POST {url}: {error}") from error
        if answer.status != expected:
            raise NotSupplied(f"POST {url}: {answer.status} {answer.data[:300]!r}")
        return json.loads(answer.data)
