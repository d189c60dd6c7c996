"""Races: the same cart, checked out in several patterns at once, by carrito's public API.

Whoever watches sees what the patterns differ in, and, with a card that is declined or one piece for
all of them, what they do when something is refused.
"""

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from dashboard import actions, progress, records
from dashboard.progress import Lane
from httpapi.client import Unreachable

SAGA = "checkout"
SHOPPER = "race"
CARDS = {"": "credit_card", "declined": "card_declined", "last": "credit_card"}
"""By what the race is about: nothing special, a declined card, the last piece."""
_ADDRESS = {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}


class NotStarted(Exception):
    """Why a race could not begin, for people."""


def start(*, patterns: Sequence[str], about: str) -> list[str]:
    """Begins it: a saga a pattern, all at once; their ids. Raises NotStarted."""
    chosen = [name for name in patterns if name in PATTERNS]
    if not chosen or about not in CARDS:
        raise NotStarted("Choose at least one pattern.")
    try:
        product = _last_piece() if about == "last" else _any_product()
        items = [{"product_id": product, "quantity": 1}]
        made = _asked("/carts", [{"user_id": SHOPPER, "items": items} for _ in chosen])
        carts = [str(one["data"]["id"]) for one in made]
        with ThreadPoolExecutor(len(chosen)) as threads:
            return list(threads.map(_check_out, carts, chosen, [CARDS[about]] * len(chosen)))
    except (Unreachable, LookupError, TypeError) as error:
        raise NotStarted(f"The race could not begin: {error}") from error


def _check_out(cart: str, pattern: str, card: str) -> str:
    body = {
        "cart_id": cart,
        "user_id": SHOPPER,
        "payment_method": card,
        "billing_address": _ADDRESS,
        "saga_pattern": pattern,
    }
    return str(_asked(SAGAS[SAGA].door, body)["saga_id"])


def _asked(path: str, body: Any, *, service: str = SAGAS[SAGA].owner) -> Any:
    given = actions.client(service).post(path=path, body=body)
    if given.status >= 300:
        raise Unreachable(f"{service} answered {given.status}: {given.body[:200]!r}")
    return given.json()


def _last_piece() -> str:
    name = f"The last one {uuid.uuid4().hex[:8]}"
    made = _asked(
        "/api/products",
        {"name": name, "price": "12.50", "quantity": 1, "category": SHOPPER, "sku": name},
        service="inventario",
    )
    return str(made["id"])


def _any_product() -> str:
    """One of which there is enough for all."""
    product = records.product_in_stock(pieces=len(PATTERNS))
    if product is None:
        raise NotStarted("No product is left: add one at inventario (POST /api/products).")
    return product


def lanes(saga_ids: Sequence[str]) -> list[Lane]:
    """How each stands, in the order given; those that are none of this saga are left out."""
    accepted = records.accepted(saga_ids)
    noted = records.noted(SAGAS[SAGA], list(accepted))
    return [
        progress.lane(SAGAS[SAGA], row, [one for one in noted if one.saga_id == saga_id])
        for saga_id in saga_ids
        if (row := accepted.get(saga_id)) and row.saga == SAGA
    ]
