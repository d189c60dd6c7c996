"""The HTTP door of carrito: carts, orders, and the checkout of all patterns. No decisions here.

shopper -> POST /checkout/saga -> prices: what the cart's products cost now
                               -> accept: lock the cart, freeze it, record the checkout
           (operations)        -> choreographed: its first event is in carrito's own outbox
                               -> orchestrated:  handed over at once (coordination.handover)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from carrito import carts, operations, prices, serializers, store
from carrito.carts import NewCart, NotChanged, Wanted
from carrito.models import Cart, CartItem
from carrito.operations import OWNER, Accept
from catalogue import refusals
from contracts.bounds import (
    MOST_BYTES_OF_MANY,
    MOST_IN_A_BATCH,
    Address,
    Id,
    Quantity,
    SagaPattern,
    WholeNumber,
)
from contracts.doors import OPS_READ, SHOP, door
from contracts.outcomes import Done, Outcome, Refused
from contracts.patterns import COORDINATORS
from coordination import owner_views
from httpapi import identity, problems
from httpapi.json import answer, values
from httpapi.steps import PlainView, StepView

_NewCarts = Annotated[list[NewCart], msgspec.Meta(max_length=MOST_IN_A_BATCH)]
_TOO_LARGE = (refusals.CART_TOO_LARGE,)
_OF_ITEMS = {
    404: (refusals.UNKNOWN_PRODUCT,),
    409: (
        refusals.OUT_OF_STOCK,
        refusals.CART_IN_CHECKOUT,
        refusals.CART_CHECKED_OUT,
        refusals.UNREADABLE,
        *_TOO_LARGE,
    ),
}
_acceptance = owner_views.Acceptance(owner=OWNER)


class _Quantity(msgspec.Struct, frozen=True):
    quantity: Quantity


class CartsView(APIView):
    """POST makes a cart, empty or filled; a list makes many (207)."""

    @door(
        SHOP,
        takes=(NewCart, list[NewCart]),
        most_bytes=MOST_BYTES_OF_MANY,
        gives={201: serializers.CartShown, 207: list[Outcome]},
        example={"user_id": "ana", "items": [{"product_id": "1", "quantity": 1}]},
        refuses={409: (refusals.OUT_OF_STOCK, refusals.UNKNOWN_PRODUCT, *_TOO_LARGE)},
    )
    def post(self, request: Request) -> HttpResponse:
        is_batch = isinstance(request.data, list)
        wanted = (
            msgspec.convert(request.data, _NewCarts)
            if is_batch
            else [msgspec.convert(request.data, NewCart)]
        )
        wanted = [_of_caller(request, new) for new in wanted]
        offers = carts.offers(product_ids=[i.product for new in wanted for i in new.items])
        with transaction.atomic(using=operations.SERVICE):
            made = carts.create(carts=wanted, offers=offers)
        if is_batch:
            return answer([_outcome(cart) for cart in made], status=207)
        if isinstance(made[0], Refused):
            raise problems.refusal(made[0])
        return answer(serializers.cart(_found(request, made[0].id)), status=201)


class CartView(APIView):
    """A cart, with its lines, their prices and its total."""

    @door(SHOP, OPS_READ, gives={200: serializers.CartShown})
    def get(self, request: Request, cart_id: str) -> HttpResponse:
        return answer(serializers.cart(_found(request, cart_id)))


class CartItemsView(APIView):
    """POST adds an item; more than is available is refused."""

    @door(SHOP, takes=Wanted, gives={201: serializers.CartShown}, refuses=_OF_ITEMS)
    def post(self, request: Request, cart_id: str) -> HttpResponse:
        wanted = msgspec.convert(request.data, Wanted)
        offer = carts.offers(product_ids=[wanted.product]).get(wanted.product)
        with transaction.atomic(using=operations.SERVICE), _refusals(cart_id):
            carts.add_item(
                cart_id=cart_id, wanted=wanted, offer=offer, user_id=identity.owner(request)
            )
        return answer(serializers.cart(_found(request, cart_id)), status=201)


class CartItemView(APIView):
    """PATCH sets how many pieces of a product the cart has. DELETE removes the product from it."""

    @door(SHOP, takes=_Quantity, gives={200: serializers.CartShown}, refuses=_OF_ITEMS)
    def patch(self, request: Request, cart_id: str, product_id: str) -> HttpResponse:
        quantity = msgspec.convert(request.data, _Quantity).quantity
        offer = carts.offers(product_ids=[product_id]).get(product_id)
        with transaction.atomic(using=operations.SERVICE), _refusals(cart_id):
            carts.set_quantity(
                cart_id=cart_id,
                product_id=product_id,
                quantity=quantity,
                offer=offer,
                user_id=identity.owner(request),
            )
        return answer(serializers.cart(_found(request, cart_id)))

    @door(SHOP, gives={204: None}, refuses=_OF_ITEMS)
    def delete(self, request: Request, cart_id: str, product_id: str) -> HttpResponse:
        with transaction.atomic(using=operations.SERVICE), _refusals(cart_id):
            carts.remove_item(
                cart_id=cart_id, product_id=product_id, user_id=identity.owner(request)
            )
        return HttpResponse(status=204)


class OrderStepView(StepView):
    """A step on a saga's order; the path may name the order by its own id."""

    def saga_of(self, **path: str) -> str | None:
        return store.saga_of_order(**path)


class OrderView(APIView):
    """An order, with the lines that its checkout has frozen."""

    @door(SHOP, OPS_READ, gives={200: serializers.OrderShown})
    def get(self, request: Request, order_id: str) -> HttpResponse:
        found = store.order(order_id=order_id, user_id=identity.owner(request))
        if found is None:
            raise problems.unknown("order", order_id)
        return answer(serializers.order(found))


class OrdersOfCartView(APIView):
    """The orders of a cart, newest first: the live order, and cancelled attempts before it."""

    @door(SHOP, OPS_READ, gives={200: serializers.OrdersOfCart})
    def get(self, request: Request, cart_id: str) -> HttpResponse:
        _found(request, cart_id)
        found = store.orders_of_cart(cart_id=cart_id)
        return answer({"cart_id": cart_id, "orders": [serializers.order(order) for order in found]})


class CheckoutStatusView(APIView):
    """Where a checkout stands, as its shopper sees it: its order, or why there is none."""

    @door(SHOP, OPS_READ, callers=COORDINATORS, gives={200: serializers.CheckoutState})
    def get(self, request: Request, saga_id: str) -> HttpResponse:
        return answer(_checkout_state(saga_id, user_id=identity.owner(request)))


class CheckoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a checkout request, at any door."""

    cart_id: Id
    payment_method: Id
    user_id: Id | WholeNumber | None = None
    billing_address: Address = {}
    saga_pattern: SagaPattern | None = None
    saga: Id = "checkout"


door_of_checkout = owner_views.door_of(
    OWNER,
    takes=CheckoutRequest,
    begins=serializers.CheckoutBegun,
    shows=serializers.CheckoutShown,
)


class CheckoutView(PlainView):
    """POST: 202 once the checkout is accepted and durable; `Prefer: wait=N` waits for its end."""

    @door_of_checkout
    def post(self, request: HttpRequest) -> HttpResponse:
        wanted = msgspec.convert(values(request.body), CheckoutRequest)
        command = command_of(request=request, wanted=wanted)
        now = prices.of_cart(cart_id=wanted.cart_id, user_id=identity.owner(request))
        return owner_views.accept(
            acceptance=_acceptance,
            command=msgspec.structs.replace(command, prices=now),
            request=request,
            status_path="/orders/saga/{saga_id}/status",
            state=_checkout_state,
        )


def command_of(*, request: HttpRequest, wanted: CheckoutRequest) -> Accept:
    """The command that the request makes. Raises Problem (400)."""
    asked = {
        "cart_id": wanted.cart_id,
        "payment_method": wanted.payment_method,
        "billing_address": wanted.billing_address,
    }
    alike = owner_views.accepting(
        owner=OWNER,
        door="/checkout/saga",
        saga=wanted.saga,
        pattern=wanted.saga_pattern or "",
        request=request,
        asked=asked,
    )
    user_id = identity.of(request).named(wanted.user_id, field="user_id", otherwise="")
    is_shown_own = identity.owner(request) is not None
    return Accept(**alike, **asked, user_id=user_id or None, is_shown_own=is_shown_own)


def _checkout_state(saga_id: str, *, user_id: str | None = None) -> dict[str, Any]:
    found = store.checkout(saga_id=saga_id, user_id=user_id)
    if found is None:
        raise problems.unknown("saga", saga_id)
    return serializers.checkout_status(found)


@contextmanager
def _refusals(cart_id: str) -> Iterator[None]:
    """Turns the exceptions of the carts' operations into problems."""
    try:
        yield
    except Cart.DoesNotExist as error:
        raise problems.unknown("cart", cart_id) from error
    except CartItem.DoesNotExist as error:
        raise problems.unknown("such item in cart", cart_id) from error
    except NotChanged as error:
        status = 404 if error.refused.code == refusals.UNKNOWN_PRODUCT else 409
        raise problems.refusal(error.refused, status=status) from error


def _of_caller(request: Request, new: NewCart) -> NewCart:
    user_id = identity.of(request).named(new.user_id, field="user_id")
    return msgspec.structs.replace(new, user_id=user_id)


def _found(request: Request, cart_id: str) -> Cart:
    cart = store.cart(cart_id=cart_id, user_id=identity.owner(request))
    if cart is None:
        raise problems.unknown("cart", cart_id)
    return cart


def _outcome(made: Cart | Refused) -> Outcome:
    return made if isinstance(made, Refused) else Done({"id": made.id})
