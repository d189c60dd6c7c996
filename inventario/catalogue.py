"""The catalogue: products are added, changed and restocked. No saga is involved: each function
runs in the transaction that its caller opens.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import F

from contracts import refusals
from contracts.outcomes import Refused
from inventario import stock
from inventario.models import Product

SERVICE = "inventario"
SKU_TAKEN = "sku_taken"


class NewProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product to be added, and how many of it there are."""

    name: str
    price: Decimal
    sku: str
    quantity: int
    description: str = ""
    category: str = ""


def add(*, products: Sequence[NewProduct]) -> list[Product | Refused]:
    """Adds them, in order. Refused: sku_taken (by another product, or earlier in the list)."""
    first: dict[str, NewProduct] = {}
    for one in products:
        first.setdefault(one.sku, one)
    ids = stock.add_products(products=[msgspec.structs.asdict(one) for one in first.values()])
    added = Product.objects.in_bulk(list(ids.values()))
    return [
        added[ids[one.sku]] if one.sku in ids and first[one.sku] is one else _taken(one.sku)
        for one in products
    ]


def change(*, product: Product, fields: Mapping[str, Any]) -> Refused | None:
    """Changes these fields and no other: its stock may move meanwhile. Refused: sku_taken."""
    try:
        with transaction.atomic(using=SERVICE):
            Product.objects.filter(pk=product.pk).update(**fields)
    except IntegrityError:  # the one constraint that checked fields can meet
        return _taken(fields.get("sku", product.sku))
    return None


def restock(*, product: Product, quantity: int) -> Refused | None:
    """More came in, or (negative) some was lost. Refused: out_of_stock, when less is available."""
    there_is_enough = Product.objects.filter(pk=product.pk, available__gte=-quantity)
    if there_is_enough.update(initial=F("initial") + quantity, available=F("available") + quantity):
        return None
    return Refused(
        refusals.OUT_OF_STOCK, f"Product {product.pk}: less than {-quantity} available to take off."
    )


def _taken(sku: str) -> Refused:
    return Refused(SKU_TAKEN, f"Another product has the sku {sku!r} already.")
