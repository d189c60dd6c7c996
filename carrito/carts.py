"""Filling a cart. No saga is involved: each runs in the transaction that its view opens."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from django.db.models import F

from carrito.catalogue import Offer
from carrito.models import Cart, CartItem, CartStatus
from contracts import refusals
from contracts.commands import Quantity
from contracts.outcomes import Refused

UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Wanted(msgspec.Struct, frozen=True):
    """How many of which product; a product's id may come as a number."""

    product_id: str | int
    quantity: Quantity

    @property
    def product(self) -> str:
        return str(self.product_id)


class NewCart(msgspec.Struct, frozen=True):
    """A cart to be made, empty or filled."""

    user_id: UserId | int
    items: list[Wanted] = []


class NotChanged(Exception):
    """The cart was left as it is."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


def create(*, carts: Sequence[NewCart], offers: Mapping[str, Offer]) -> list[Cart | Refused]:
    """Makes the carts; one whose items can't be had is refused: unknown_product, out_of_stock."""
    made: list[Cart | Refused] = []
    items: list[CartItem] = []
    for new in carts:
        refused = next((no for one in new.items if (no := _refusal(one, offers))), None)
        if refused:
            made.append(refused)
            continue
        cart = Cart(id=str(uuid.uuid4()), user_id=str(new.user_id))
        made.append(cart)
        items += _items(cart, new.items, offers)
    Cart.objects.bulk_create([one for one in made if isinstance(one, Cart)])
    CartItem.objects.bulk_create(items)
    return made


def add_item(*, cart_id: str, wanted: Wanted, offer: Offer | None) -> None:
    """Adds to what is in the cart already, at today's price.

    Raises Cart.DoesNotExist, NotChanged (cart_in_checkout, cart_checked_out, unknown_product,
    out_of_stock).
    """
    cart = _locked(cart_id)
    item = cart.items.filter(product_id=wanted.product).first()
    quantity = wanted.quantity + (item.quantity if item else 0)
    if offer is None:
        raise NotChanged(_unknown(wanted.product))
    _raise_if_short(wanted.product, quantity, offer)
    cart.items.update_or_create(
        product_id=wanted.product, defaults={"quantity": quantity, "unit_price": offer.price}
    )
    _changed(cart)


def set_quantity(*, cart_id: str, product_id: str, quantity: int, offer: Offer | None) -> None:
    """Raises Cart.DoesNotExist, CartItem.DoesNotExist, NotChanged (as for add_item)."""
    cart = _locked(cart_id)
    item = cart.items.get(product_id=product_id)
    if offer is None:
        raise NotChanged(_unknown(product_id))
    _raise_if_short(product_id, quantity, offer)
    item.quantity = quantity
    item.unit_price = offer.price
    item.save()
    _changed(cart)


def remove_item(*, cart_id: str, product_id: str) -> None:
    """Raises Cart.DoesNotExist, CartItem.DoesNotExist, NotChanged (cart_in_checkout, ...)."""
    cart = _locked(cart_id)
    cart.items.get(product_id=product_id).delete()
    _changed(cart)


def _locked(cart_id: str) -> Cart:
    cart = Cart.objects.select_for_update(no_key=True).get(pk=cart_id)
    if cart.status == CartStatus.CHECKING_OUT:
        raise NotChanged(Refused(refusals.CART_IN_CHECKOUT, "A checkout of this cart is running."))
    if cart.status == CartStatus.CHECKED_OUT:
        raise NotChanged(Refused(refusals.CART_CHECKED_OUT, "This cart was bought already."))
    return cart


def _changed(cart: Cart) -> None:
    Cart.objects.filter(pk=cart.pk).update(version=F("version") + 1)


def _items(cart: Cart, wanted: Sequence[Wanted], offers: Mapping[str, Offer]) -> list[CartItem]:
    quantities: dict[str, int] = {}
    for one in wanted:
        quantities[one.product] = quantities.get(one.product, 0) + one.quantity
    return [
        CartItem(cart=cart, product_id=product, quantity=quantity, unit_price=offers[product].price)
        for product, quantity in quantities.items()
    ]


def _refusal(wanted: Wanted, offers: Mapping[str, Offer]) -> Refused | None:
    offer = offers.get(wanted.product)
    if offer is None:
        return _unknown(wanted.product)
    if wanted.quantity > offer.available:
        return _short(wanted.product, wanted.quantity, offer)
    return None


def _raise_if_short(product_id: str, quantity: int, offer: Offer) -> None:
    if quantity > offer.available:
        raise NotChanged(_short(product_id, quantity, offer))


def _short(product_id: str, quantity: int, offer: Offer) -> Refused:
    return Refused(
        refusals.OUT_OF_STOCK,
        f"Product {product_id}: {quantity} wanted, {offer.available} available.",
    )


def _unknown(product_id: str) -> Refused:
    return Refused(refusals.UNKNOWN_PRODUCT, f"There is no product {product_id}.")
