"""Races: the same cart, checked out in several patterns at once, by carrito's public API.

A race shows how the patterns differ; with a declined card, or one piece for all, also how they
handle a refusal.
"""

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from accounts import tokens
from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from dashboard import actions, progress, records
from dashboard.progress import Lane
from httpapi.client import Unreachable
from participant import sql

SAGA = "checkout"
CATEGORY = "race"
"""The category of products that are made for a race for the last piece."""
CARDS = {"": "credit_card", "declined": "card_declined", "last": "credit_card"}
"""The payment method by kind of race: plain, a declined card, the last piece."""
_ADDRESS = {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}


class NotStarted(Exception):
    """The reason why a race could not begin, for people."""


def start(*, patterns: Sequence[str], about: str, person: Any) -> list[str]:
    """Starts a saga in each pattern at once; returns their ids. Raises NotStarted."""
    shopper = RaceShopper(person)
    chosen = [name for name in patterns if name in PATTERNS]
    if not chosen or about not in CARDS:
        raise NotStarted("Choose at least one pattern.")
    try:
        product = shopper.last_piece() if about == "last" else _any_product()
        items = [{"product_id": product, "quantity": 1}]
        made = shopper.ask("/carts", [{"user_id": shopper.name, "items": items} for _ in chosen])
        carts = [str(cart["data"]["id"]) for cart in made]
        with ThreadPoolExecutor(len(chosen)) as threads:
            return list(threads.map(shopper.check_out, carts, chosen, [CARDS[about]] * len(chosen)))
    except (Unreachable, LookupError, TypeError) as error:
        raise NotStarted(f"The race could not begin: {sql.category(error)}") from error


class RaceShopper:
    """A person who starts a race; all calls are made in their name."""

    def __init__(self, person: Any) -> None:
        self.name = person.get_username()
        self._headers = tokens.headers_of(person)

    def check_out(self, cart: str, pattern: str, card: str) -> str:
        """Starts a checkout; returns its saga's id. Raises Unreachable."""
        body = {
            "cart_id": cart,
            "user_id": self.name,
            "payment_method": card,
            "billing_address": _ADDRESS,
            "saga_pattern": pattern,
        }
        return str(self.ask(SAGAS[SAGA].door, body)["saga_id"])

    def last_piece(self) -> str:
        """Adds a product with one piece; returns its id. Raises Unreachable."""
        name = f"The last one {uuid.uuid4().hex[:8]}"
        body = {"name": name, "price": "12.50", "quantity": 1, "category": CATEGORY, "sku": name}
        return str(self.ask("/api/products", body, service="inventario")["id"])

    def ask(self, path: str, body: Any, *, service: str = SAGAS[SAGA].owner) -> Any:
        """Posts the body; returns the answer. Raises Unreachable."""
        given = actions.client(service).post(path=path, body=body, headers=self._headers)
        if given.status >= 300:
            raise Unreachable(f"{service} answered {given.summary}")
        return given.json()


def _any_product() -> str:
    """A product with enough pieces for all patterns. Raises NotStarted."""
    product = records.product_in_stock(pieces=len(PATTERNS))
    if product is None:
        raise NotStarted("No product is left: add one at inventario (POST /api/products).")
    return product


def lanes(saga_ids: Sequence[str]) -> list[Lane]:
    """The lanes of these sagas, in the order given; ids that are no checkout's are left out."""
    accepted = records.accepted(saga_ids)
    noted = records.noted(SAGAS[SAGA], list(accepted))
    return [
        progress.lane(SAGAS[SAGA], row, [entry for entry in noted if entry.saga_id == saga_id])
        for saga_id in saga_ids
        if (row := accepted.get(saga_id)) and row.saga == SAGA
    ]
