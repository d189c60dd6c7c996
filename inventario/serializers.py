"""Products and reservations as the API shows them, and as users send them."""

from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contracts import bounds
from contracts.bounds import Asked, Category, Description, Name, Sku, StockChange, WholeNumber
from contracts.money import amount
from inventario.models import Product, Reservation

MOST_IN_A_PAGE = 1000
IDS = r"\A[0-9]+(\s*,\s*[0-9]+)*\Z"


class ProductChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of a product. Its stock can't: that is what restock is for."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    price: Decimal | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    sku: Sku | WholeNumber | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.price is not UNSET:
            bounds.require_money("price", self.price, most=bounds.MOST_PRICE)

    def fields(self) -> dict[str, Any]:
        """Those that are to be changed."""
        wanted = msgspec.structs.asdict(self)
        return {name: value for name, value in wanted.items() if value is not UNSET}


class Restock(msgspec.Struct, frozen=True):
    """How many came in, or (negative) were lost."""

    quantity: StockChange


class ProductFilter(msgspec.Struct, frozen=True):
    """Which products to list: `?category=&search=&ids=1,2,3&page=&page_size=`, or `&after=`,
    `&before=` a cursor."""

    category: Asked | None = None
    search: Asked | None = None
    ids: Annotated[str, Meta(max_length=21 * MOST_IN_A_PAGE, pattern=IDS)] | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=MOST_IN_A_PAGE)] = 50
    after: str = ""
    before: str = ""


def product(one: Product) -> dict[str, Any]:
    """A product; `quantity` and `available` both say how many can be bought now."""
    return {
        "id": str(one.pk),
        "name": one.name,
        "description": one.description,
        "price": str(amount(one.price)),
        "category": one.category,
        "sku": one.sku,
        "quantity": one.available,
        "available": one.available,
        "reserved": one.reserved,
        "sold": one.sold,
        "created_at": one.created_at,
    }


def availability(one: Product) -> dict[str, Any]:
    """Where all that ever came in of a product is now."""
    return {
        "product_id": str(one.pk),
        "is_available": one.available > 0,
        "available": one.available,
        "reserved": one.reserved,
        "sold": one.sold,
        "initial": one.initial,
    }


def reservation(one: Reservation) -> dict[str, Any]:
    """A reservation with its lines."""
    return {
        "reservation_id": str(one.pk),
        "saga_id": one.saga_id,
        "cart_id": one.cart_id,
        "status": one.status,
        "items": [
            {"product_id": str(line.product_id), "quantity": line.quantity}
            for line in one.lines.all()
        ],
        "created_at": one.created_at,
        "changed_at": one.changed_at,
        "expires_at": one.expires_at,
    }
