"""The current prices of a cart's products, from inventario, before its checkout is accepted.

Concurrent checkouts share one call for all their products. If inventario does not answer, the
prices that the shopper was shown hold, and it is not called for REST_SECONDS: no checkout waits for
a service that is away.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from carrito import carts, store
from contracts import bounds
from httpapi import waiting
from httpapi.client import Client, Unreachable
from participant.batching import Batcher

log = logging.getLogger(__name__)

ASK_SECONDS = 0.5
REST_SECONDS = 1.0
"""After a call that failed."""

_client = Client("inventario", timeout=ASK_SECONDS, connections=1)
_rests_until = float("-inf")


class _PriceList(msgspec.Struct, frozen=True):
    prices: dict[str, Decimal]

    def __post_init__(self) -> None:
        for price in self.prices.values():
            bounds.require_money("prices", price, most=bounds.MOST_PRICE)


def of_cart(*, cart_id: str, user_id: str | None = None) -> Mapping[str, Decimal]:
    """Prices by product id, as far as known; products of other carts may be among them. `user_id`:
    whose cart it must be.
    """
    product_ids = store.products_of(cart_id=cart_id, user_id=user_id)
    if not product_ids or _is_resting():
        return {}
    with waiting.for_an_answer():
        return _batcher.execute(command=product_ids)


def _ask_together(*, commands: Sequence[Sequence[str]]) -> list[Mapping[str, Decimal]]:
    """For each command the prices of all. One batch at a time in this process: batches that waited
    behind a call that failed find inventario resting, and make none.
    """
    product_ids = [product_id for ids in commands for product_id in ids]
    known: dict[str, Decimal] = {}
    try:
        for ids in [] if _is_resting() else carts.calls(product_ids=product_ids):
            known |= _ask(ids)
    except Unreachable as error:
        _rest(error)
    return [known] * len(commands)


def _ask(ids: Sequence[str]) -> dict[str, Decimal]:
    answer = _client.get(path=f"/api/products/prices?ids={','.join(ids)}")
    found: _PriceList = answer.decode(type=_PriceList)
    return found.prices


def _is_resting() -> bool:
    return time.monotonic() < _rests_until


def _rest(error: Unreachable) -> None:
    global _rests_until
    _rests_until = time.monotonic() + REST_SECONDS
    log.warning("the prices that shoppers were shown hold: %s", error)


_batcher = Batcher(service="carrito", execute_batch=_ask_together)
