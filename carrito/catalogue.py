"""What carrito asks inventario: prices, and what is available now (a reservation decides)."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec
from django.conf import settings

from httpapi import waiting
from httpapi.client import Client, Unreachable
from httpapi.problems import unavailable

_client = Client(
    url=settings.SERVICE_URLS["inventario"], timeout=5.0, connections=waiting.MOST_WAITING
)


IN_A_CALL = 200
"""So that the path stays below what HTTP servers take: 4 kB."""


class Offer(msgspec.Struct, frozen=True):
    """A product as inventario offers it at this moment."""

    id: str
    price: Decimal
    available: int


class _Page(msgspec.Struct, frozen=True):
    results: list[Offer]


def offers(*, product_ids: Iterable[str]) -> dict[str, Offer]:
    """By product id; unknown products are missing. Raises Problem (503) without inventario."""
    ids = sorted({one for one in product_ids if one.isascii() and one.isdigit() and len(one) < 20})
    asked = [ids[start : start + IN_A_CALL] for start in range(0, len(ids), IN_A_CALL)]
    return {offer.id: offer for some in asked for offer in _asked_for(some)}


def _asked_for(ids: list[str]) -> list[Offer]:
    try:
        with waiting.for_an_answer():
            found = _client.get(path=f"/api/products?ids={','.join(ids)}&page_size={len(ids)}")
        page: _Page = found.decode(type=_Page)
        return page.results
    except Unreachable as error:
        raise unavailable("inventario") from error
