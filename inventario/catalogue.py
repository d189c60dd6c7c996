"""The catalogue: products are added, changed and restocked. No saga is involved: each function
runs in the transaction that its caller opens.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import F

from catalogue import refusals
from contracts import bounds
from contracts.bounds import Category, Description, Name, Sku, Stock, WholeNumber
from contracts.outcomes import Refused
from inventario import store
from inventario.models import Product
from participant import trail

SERVICE = "inventario"
SKU_TAKEN, STOCK_TOO_LARGE = "sku_taken", "stock_too_large"


class NewProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product to be added, with its initial stock."""

    name: Name
    price: Decimal
    sku: Sku | WholeNumber
    quantity: Stock
    description: Description = ""
    category: Category = ""

    def __post_init__(self) -> None:
        bounds.require_money("price", self.price, most=bounds.MOST_PRICE)


def add(*, products: Sequence[NewProduct]) -> list[Product | Refused]:
    """Adds the products. Refused: sku_taken (by another product, or earlier in the list)."""
    first: dict[str, NewProduct] = {}
    for new in products:
        first.setdefault(str(new.sku), new)
    rows = [{**msgspec.structs.asdict(new), "sku": sku} for sku, new in first.items()]
    ids = store.add_products(products=rows)
    added = Product.objects.in_bulk(list(ids.values()))
    return [
        added[ids[sku]] if sku in ids and first[sku] is new else _taken(sku)
        for new in products
        for sku in [str(new.sku)]
    ]


def change(*, product: Product, fields: Mapping[str, Any]) -> Refused | None:
    """Changes only these fields: the stock may move meanwhile. Refused: sku_taken."""
    try:
        with transaction.atomic(using=SERVICE):
            Product.objects.filter(pk=product.pk).update(**fields)
            note_change(product=product, fields=fields)
    except IntegrityError:  # the only constraint that checked fields can violate
        return _taken(fields.get("sku", product.sku))
    return None


def restock(*, product: Product, quantity: int) -> Refused | None:
    """Adds stock that came in; a negative quantity takes off stock that was lost. Refused:
    out_of_stock (less is available), stock_too_large (more than can ever come in).
    """
    fits = Product.objects.filter(
        pk=product.pk, available__gte=-quantity, initial__lte=bounds.MOST_STOCK_EVER - quantity
    )
    if fits.update(initial=F("initial") + quantity, available=F("available") + quantity):
        now = Product.objects.values_list("available", flat=True).get(pk=product.pk)
        changed = f"available: {now - quantity} -> {now}"
        subject = f"product {product.pk}", changed
        trail.note(service=SERVICE, action="product.restock", subjects=[subject])
        return None
    if quantity > 0:
        return Refused(
            STOCK_TOO_LARGE,
            f"Product {product.pk}: at most {bounds.MOST_STOCK_EVER} can ever come in.",
        )
    return Refused(
        refusals.OUT_OF_STOCK, f"Product {product.pk}: less than {-quantity} available to take off."
    )


def note_change(*, product: Product, fields: Mapping[str, Any]) -> None:
    """Records the change and its author. `product`: as it was before."""
    changed = [
        f"{name}: {getattr(product, name)} -> {value}"
        for name, value in fields.items()
        if getattr(product, name) != value
    ]
    if changed:
        subject = f"product {product.pk}", "; ".join(changed)
        trail.note(service=SERVICE, action="product.change", subjects=[subject])


def _taken(sku: str) -> Refused:
    return Refused(SKU_TAKEN, f"Another product has the sku {sku!r} already.")
