"""Products and reservations as the API shows them, and as users send them."""

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
    """What can be changed of a product, and why. Its stock can't: that is what restock is for."""

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
        """Those that are to be changed."""
        wanted = msgspec.structs.asdict(self)
        del wanted["reason"]
        return {name: value for name, value in wanted.items() if value is not UNSET}


class Restock(msgspec.Struct, frozen=True):
    """How many came in, or (negative) were lost; and why."""

    quantity: StockChange
    reason: Reason = ""


class ProductFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which products to list: `?category=&search=&ids=1,2,3&named=`, and as all pages are asked
    for. `named`: a sku or an id; may be there several times.
    """

    category: Asked | None = None
    search: Asked | None = None
    named: list[Asked] = []
    ids: Annotated[str, Meta(max_length=21 * MOST_IN_A_PAGE, pattern=IDS)] | None = None


class Priced(msgspec.Struct, frozen=True):
    """Which products' prices to tell: `?ids=1,2,3`."""

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
    """A page of products, which are there twice: as `results` and as `products`."""

    results: list[ProductShown]
    products: list[ProductShown]
    total: int


class Availability(TypedDict):
    """Where all that ever came in of a product is now. How well it sells (`sold`, `initial`) is for
    those who run the shop.
    """

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
    """What is put aside for a step of a saga. `subject`: the cart or the order it is for."""

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
    """What there is by sku, and what is put aside by the order (or cart) that it is for."""

    inventory: dict[str, ProductShown]
    reserved: dict[str, ReservationShown]


class InventoryPage(Inventory):
    """A page of both."""

    total: int
    page: int
    next: str | None


def prices(found: Mapping[int, Decimal]) -> Prices:
    """What products cost now, by id."""
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
    """`in_full`: with how well it sells."""
    told: Availability = {
        "product_id": str(row.pk),
        "is_available": row.available > 0,
        "available": row.available,
        "reserved": row.reserved,
    }
    return {**told, "sold": row.sold, "initial": row.initial} if in_full else told


def reservation(row: Reservation) -> ReservationShown:
    """A reservation with its lines. Its subject is the cart of a checkout: `cart_id`, too."""
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
    """What there is by sku, and what is reserved by the order (or cart) that it is for."""
    reserved: dict[str, ReservationShown] = {}
    for row in reservations:
        shown = reservation(row)
        other = reserved.setdefault(row.subject, shown)
        if other is not shown:
            other["items"] += shown["items"]
    return {"inventory": {row.sku: product(row) for row in products}, "reserved": reserved}
