"""Finds the products of skus or ids, in inventario."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote

import msgspec

from catalogue import refusals
from contracts.outcomes import Refused
from httpapi import problems, waiting
from httpapi.client import Client
from pedidos.operations import OrderItem

_client = Client("inventario", timeout=5.0, connections=waiting.MOST_WAITING)
LONGEST_QUERY = 3_000
"""Keeps the path below the 4 kB that HTTP servers accept."""


class _Product(msgspec.Struct, frozen=True):
    id: str
    sku: str
    name: str
    price: Decimal


class _ProductPage(msgspec.Struct, frozen=True):
    results: list[_Product]


def items(*, wanted: Sequence[tuple[str, int]]) -> tuple[list[OrderItem], Decimal]:
    """The items of an order, and their total at current prices. `wanted`: (sku or id, quantity).

    Raises Problem: 404 for an unknown product, 503 if inventario is away.
    """
    known = _products({named for named, _ in wanted})
    found = [_item(named, quantity, known) for named, quantity in wanted]
    return found, sum((known[named].price * quantity for named, quantity in wanted), Decimal(0))


def _item(named: str, quantity: int, known: Mapping[str, _Product]) -> OrderItem:
    product = known.get(named)
    if product is None:
        detail = f"There is no product with the sku or the id {named}."
        raise problems.refusal(Refused(refusals.UNKNOWN_PRODUCT, detail), status=404)
    return OrderItem(product_id=product.id, sku=product.sku, name=product.name, quantity=quantity)


def _products(named: Iterable[str]) -> dict[str, _Product]:
    """The products by sku and by id; a name that is both is a sku."""
    found = [product for query in _queries(named) for product in _asked_for(query)]
    return {product.id: product for product in found} | {product.sku: product for product in found}


def _queries(named: Iterable[str]) -> Iterator[str]:
    query = ""
    for name in sorted(named):
        part = f"&named={quote(name, safe='')}"
        if query and len(query) + len(part) > LONGEST_QUERY:
            yield query
            query = ""
        query += part
    yield query


def _asked_for(query: str) -> list[_Product]:
    path = f"/api/products?page_size=1000{query}"
    return waiting.answer_of(
        service="inventario", client=_client, path=path, kind=_ProductPage
    ).results
