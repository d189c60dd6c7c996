"""Filling a cart. No saga is involved: each function runs in the transaction that its view opens.

The view gets the offers from inventario before: prices, and how many are available now. Only the
reservation in the saga decides.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from django.db.models import F

from carrito import operations
from carrito.models import Cart, CartItem, CartStatus
from catalogue import refusals
from catalogue.commands import Line
from contracts import bounds
from contracts.bounds import Id, Quantity, WholeNumber
from contracts.outcomes import Refused
from httpapi import waiting
from httpapi.client import Client
from participant.models import owned_by

_client = Client("inventario", timeout=5.0, connections=waiting.MOST_WAITING)


IN_A_CALL = 200
"""Keeps the path below the 4 kB that HTTP servers accept."""


class Offer(msgspec.Struct, frozen=True):
    """A product as inventario offers it at this moment."""

    id: str
    price: Decimal
    available: int


class _OfferPage(msgspec.Struct, frozen=True):
    results: list[Offer]


def offers(*, product_ids: Iterable[str]) -> dict[str, Offer]:
    """The offers by product id, without unknown products. Raises Problem (503) if inventario is
    away.
    """
    return {offer.id: offer for ids in calls(product_ids=product_ids) for offer in _asked_for(ids)}


def calls(*, product_ids: Iterable[str]) -> list[list[str]]:
    """The ids that a product can have, in lists for one call each."""
    ids = sorted(
        {
            product_id
            for product_id in product_ids
            if product_id.isascii() and product_id.isdigit() and len(product_id) < 20
        }
    )
    return [ids[start : start + IN_A_CALL] for start in range(0, len(ids), IN_A_CALL)]


def _asked_for(ids: list[str]) -> list[Offer]:
    path = f"/api/products?ids={','.join(ids)}&page_size={len(ids)}"
    return waiting.answer_of(
        service="inventario", client=_client, path=path, kind=_OfferPage
    ).results


class Wanted(msgspec.Struct, frozen=True):
    """A product, by its id (also as a number), and how many pieces of it."""

    product_id: Id | WholeNumber
    quantity: Quantity

    @property
    def product(self) -> str:
        return str(self.product_id)


class NewCart(msgspec.Struct, frozen=True):
    """A cart to be made, empty or filled. `user_id`: its user; default: the caller."""

    user_id: Id | WholeNumber | None = None
    items: Annotated[list[Wanted], msgspec.Meta(max_length=bounds.MOST_LINES_READ)] = []


class NotChanged(Exception):
    """The cart was not changed."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


def create(*, carts: Sequence[NewCart], offers: Mapping[str, Offer]) -> list[Cart | Refused]:
    """Makes the carts. Refused: unknown_product, out_of_stock, cart_too_large."""
    made: list[Cart | Refused] = []
    items: list[CartItem] = []
    for new in carts:
        lines = _lines(new.items, offers)
        if isinstance(lines, Refused):
            made.append(lines)
            continue
        cart = Cart(id=str(uuid.uuid4()), user_id=str(new.user_id))
        made.append(cart)
        items += [CartItem(cart=cart, **msgspec.structs.asdict(line)) for line in lines]
    Cart.objects.bulk_create([cart for cart in made if isinstance(cart, Cart)])
    CartItem.objects.bulk_create(items)
    return made


def add_item(
    *, cart_id: str, wanted: Wanted, offer: Offer | None, user_id: str | None = None
) -> None:
    """Adds pieces to a cart, at today's price. `user_id`: whose cart it must be.

    Raises Cart.DoesNotExist, NotChanged (cart_in_checkout, cart_checked_out, unknown_product,
    out_of_stock, cart_too_large, unreadable).
    """
    cart = _locked(cart_id, user_id)
    item = cart.items.filter(product_id=wanted.product).first()
    quantity = wanted.quantity + (item.quantity if item else 0)
    _set_line(cart, wanted.product, quantity, offer)


def set_quantity(
    *,
    cart_id: str,
    product_id: str,
    quantity: int,
    offer: Offer | None,
    user_id: str | None = None,
) -> None:
    """Raises Cart.DoesNotExist, CartItem.DoesNotExist, NotChanged (as for add_item)."""
    cart = _locked(cart_id, user_id)
    cart.items.get(product_id=product_id)
    _set_line(cart, product_id, quantity, offer)


def remove_item(*, cart_id: str, product_id: str, user_id: str | None = None) -> None:
    """Raises Cart.DoesNotExist, CartItem.DoesNotExist, NotChanged (cart_in_checkout, ...)."""
    cart = _locked(cart_id, user_id)
    cart.items.get(product_id=product_id).delete()
    _changed(cart)


def _locked(cart_id: str, user_id: str | None) -> Cart:
    cart = Cart.objects.select_for_update(no_key=True).get(owned_by(user_id), pk=cart_id)
    if cart.status == CartStatus.CHECKING_OUT:
        raise NotChanged(Refused(refusals.CART_IN_CHECKOUT, "A checkout of this cart is running."))
    if cart.status == CartStatus.CHECKED_OUT:
        raise NotChanged(Refused(refusals.CART_CHECKED_OUT, "This cart was bought already."))
    if cart.status != CartStatus.ACTIVE:
        detail = f"Cart {cart_id} has no such status: {cart.status!r}."
        raise NotChanged(Refused(refusals.UNREADABLE, detail))
    return cart


def _set_line(cart: Cart, product_id: str, quantity: int, offer: Offer | None) -> None:
    """Writes the line, if the cart can be bought with it."""
    line = _line(product_id, quantity, offer)
    if isinstance(line, Refused):
        raise NotChanged(line)
    others = [
        Line(item.product_id, item.quantity, item.unit_price)
        for item in cart.items.exclude(product_id=product_id)
    ]
    refused = operations.decide_size(lines=[*others, line])
    if refused:
        raise NotChanged(refused)
    cart.items.update_or_create(
        product_id=product_id,
        defaults={"quantity": quantity, "unit_price": line.unit_price, "previous_price": None},
    )
    _changed(cart)


def _changed(cart: Cart) -> None:
    Cart.objects.filter(pk=cart.pk).update(version=F("version") + 1)


def _lines(wanted: Sequence[Wanted], offers: Mapping[str, Offer]) -> list[Line] | Refused:
    """The lines of a new cart; a product that is named twice is one line."""
    quantities: Counter[str] = Counter()
    for item in wanted:
        quantities[item.product] += item.quantity
    lines = []
    for product, quantity in quantities.items():
        line = _line(product, quantity, offers.get(product))
        if isinstance(line, Refused):
            return line
        lines.append(line)
    return operations.decide_size(lines=lines) or lines


def _line(product_id: str, quantity: int, offer: Offer | None) -> Line | Refused:
    if offer is None:
        return Refused(refusals.UNKNOWN_PRODUCT, f"There is no product {product_id}.")
    if quantity > offer.available:
        detail = f"Product {product_id}: {quantity} wanted, {offer.available} available."
        return Refused(refusals.OUT_OF_STOCK, detail)
    return Line(product_id, quantity, offer.price)
