"""Products and reservations as the API shows and receives them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contracts import bounds
from contracts.bounds import (
    Asked,
    Category,
    Description,
    MoneyText,
    Name,
    Reason,
    Sku,
    StockChange,
    Time,
    WholeNumber,
    amount,
    words,
)
from httpapi import pages
from inventario.models import Product, Reservation, ReservationStatus

MOST_IN_A_PAGE = 1000
IDS = r"\A[0-9]+(\s*,\s*[0-9]+)*\Z"


class ProductChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a product, and why. Its stock changes by `Restock` only."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    price: Decimal | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    sku: Sku | WholeNumber | UnsetType = UNSET
    reason: Reason = ""

    def __post_init__(self) -> None:
        if self.price is not UNSET:
            bounds.require_money("price", self.price, most=bounds.MOST_PRICE)

    def fields(self) -> dict[str, Any]:
        """The fields to be changed."""
        wanted = msgspec.structs.asdict(self)
        del wanted["reason"]
        return {name: value for name, value in wanted.items() if value is not UNSET}


class Restock(msgspec.Struct, frozen=True):
    """How many pieces came in, or (negative) were lost; and why."""

    quantity: StockChange
    reason: Reason = ""


class ProductFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which products to list: `?category=&search=&ids=1,2,3&named=`, with the parameters of every
    page. `named`: a sku or an id; may be repeated.
    """

    category: Asked | None = None
    search: Asked | None = None
    named: list[Asked] = []
    ids: Annotated[str, Meta(max_length=21 * MOST_IN_A_PAGE, pattern=IDS)] | None = None


class Priced(msgspec.Struct, frozen=True):
    """The products whose prices are wanted: `?ids=1,2,3`."""

    ids: Annotated[str, Meta(max_length=21 * MOST_IN_A_PAGE, pattern=IDS)]


class Prices(TypedDict):
    """By product id."""

    prices: dict[str, MoneyText]


class ProductShown(TypedDict):
    """A product; `quantity` and `available` both say how many can be bought now."""

    id: str
    name: str
    description: str
    price: MoneyText
    category: str
    sku: str
    quantity: int
    available: int
    reserved: int
    sold: int
    created_at: Time


class ProductsPage(pages.PageFields):
    """A page of products, under two names: `results` and `products`."""

    results: list[ProductShown]
    products: list[ProductShown]
    total: int


class Availability(TypedDict):
    """A product's stock. `sold` and `initial` are shown only to operators of the shop."""

    product_id: str
    is_available: bool
    available: int
    reserved: int
    sold: NotRequired[int]
    initial: NotRequired[int]


class ReservedLine(TypedDict):
    product_id: str
    quantity: int


class ReservationShown(TypedDict):
    """What a step of a saga has reserved. `subject`: the cart or order it is for."""

    reservation_id: str
    saga_id: str
    step: str
    subject: str
    cart_id: str
    status: Annotated[str, words(ReservationStatus)]
    items: list[ReservedLine]
    created_at: Time
    changed_at: Time
    expires_at: Time


class ReservationsOf(TypedDict):
    subject: str
    cart_id: str
    reservations: list[ReservationShown]


class Inventory(TypedDict):
    """Products by sku, and reservations by the order (or cart) they are for."""

    inventory: dict[str, ProductShown]
    reserved: dict[str, ReservationShown]


class InventoryPage(Inventory):
    """A page of products and of reservations."""

    total: int
    page: int
    next: str | None


def prices(found: Mapping[int, Decimal]) -> Prices:
    """Current prices by product id."""
    return {"prices": {str(product_id): str(amount(price)) for product_id, price in found.items()}}


def product(row: Product) -> ProductShown:
    """A product; `quantity` and `available` both say how many can be bought now."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "description": row.description,
        "price": str(amount(row.price)),
        "category": row.category,
        "sku": row.sku,
        "quantity": row.available,
        "available": row.available,
        "reserved": row.reserved,
        "sold": row.sold,
        "created_at": row.created_at,
    }


def availability(row: Product, *, in_full: bool) -> Availability:
    """A product's stock. `in_full`: with `sold` and `initial`."""
    shown: Availability = {
        "product_id": str(row.pk),
        "is_available": row.available > 0,
        "available": row.available,
        "reserved": row.reserved,
    }
    return {**shown, "sold": row.sold, "initial": row.initial} if in_full else shown


def reservation(row: Reservation) -> ReservationShown:
    """A reservation with its lines. `cart_id` is its subject, which is a checkout's cart."""
    return {
        "reservation_id": str(row.pk),
        "saga_id": row.saga_id,
        "step": row.step,
        "subject": row.subject,
        "cart_id": row.subject,
        "status": row.status,
        "items": [
            {"product_id": str(line.product_id), "quantity": line.quantity}
            for line in row.lines.all()
        ],
        "created_at": row.created_at,
        "changed_at": row.changed_at,
        "expires_at": row.expires_at,
    }


def inventory(*, products: Iterable[Product], reservations: Iterable[Reservation]) -> Inventory:
    """Products by sku, and reservations by the order (or cart) they are for."""
    reserved: dict[str, ReservationShown] = {}
    for row in reservations:
        shown = reservation(row)
        other = reserved.setdefault(row.subject, shown)
        if other is not shown:
            other["items"] += shown["items"]
    return {"inventory": {row.sku: product(row) for row in products}, "reserved": reserved}
