"""The HTTP door of carrito's carts and orders. No decisions here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from django.db import transaction
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from carrito import carts, catalogue, operations, queries, serializers
from carrito.carts import NewCart, NotChanged, Wanted
from carrito.models import Cart, CartItem
from contracts import refusals
from contracts.bounds import MOST_IN_A_BATCH, Quantity
from contracts.outcomes import Done, Outcome, Refused
from httpapi import problems
from httpapi.json import answer
from httpapi.steps import StepView

_NewCarts = Annotated[list[NewCart], msgspec.Meta(max_length=MOST_IN_A_BATCH)]


class _Quantity(msgspec.Struct, frozen=True):
    quantity: Quantity


class CartsView(APIView):
    """POST makes an empty cart, or a filled one; a list makes many (207)."""

    def post(self, request: Request) -> HttpResponse:
        is_batch = isinstance(request.data, list)
        wanted = (
            msgspec.convert(request.data, _NewCarts)
            if is_batch
            else [msgspec.convert(request.data, NewCart)]
        )
        offers = catalogue.offers(product_ids=[i.product for one in wanted for i in one.items])
        with transaction.atomic(using=operations.SERVICE):
            made = carts.create(carts=wanted, offers=offers)
        if is_batch:
            return answer([_outcome(one) for one in made], status=207)
        if isinstance(made[0], Refused):
            raise problems.refusal(made[0])
        return answer(serializers.cart(_found(made[0].id)), status=201)


class CartView(APIView):
    def get(self, request: Request, cart_id: str) -> HttpResponse:
        return answer(serializers.cart(_found(cart_id)))


class CartItemsView(APIView):
    """POST adds an item. More than is available is refused here already."""

    def post(self, request: Request, cart_id: str) -> HttpResponse:
        wanted = msgspec.convert(request.data, Wanted)
        offer = catalogue.offers(product_ids=[wanted.product]).get(wanted.product)
        with transaction.atomic(using=operations.SERVICE), _refusals(cart_id):
            carts.add_item(cart_id=cart_id, wanted=wanted, offer=offer)
        return answer(serializers.cart(_found(cart_id)), status=201)


class CartItemView(APIView):
    def patch(self, request: Request, cart_id: str, product_id: str) -> HttpResponse:
        quantity = msgspec.convert(request.data, _Quantity).quantity
        offer = catalogue.offers(product_ids=[product_id]).get(product_id)
        with transaction.atomic(using=operations.SERVICE), _refusals(cart_id):
            carts.set_quantity(
                cart_id=cart_id, product_id=product_id, quantity=quantity, offer=offer
            )
        return answer(serializers.cart(_found(cart_id)))

    def delete(self, request: Request, cart_id: str, product_id: str) -> HttpResponse:
        with transaction.atomic(using=operations.SERVICE), _refusals(cart_id):
            carts.remove_item(cart_id=cart_id, product_id=product_id)
        return HttpResponse(status=204)


class UnlockView(StepView):
    operation = operations.fail_checkout


class CreateOrderView(StepView):
    operation = operations.create_order


class ConfirmOrderView(StepView):
    operation = operations.confirm_order

    def saga_of(self, **path: str) -> str | None:
        return queries.saga_of_order(**path)


class CancelOrderView(StepView):
    operation = operations.cancel_order

    def saga_of(self, **path: str) -> str | None:
        return queries.saga_of_order(**path)


class OrderView(APIView):
    def get(self, request: Request, order_id: str) -> HttpResponse:
        found = queries.order(order_id=order_id)
        if found is None:
            raise problems.unknown("order", order_id)
        return answer(serializers.order(found))


class OrdersOfCartView(APIView):
    """The orders of a cart, newest first: the live one, and cancelled attempts before it."""

    def get(self, request: Request, cart_id: str) -> HttpResponse:
        if queries.cart(cart_id=cart_id) is None:
            raise problems.unknown("cart", cart_id)
        found = queries.orders_of_cart(cart_id=cart_id)
        return answer({"cart_id": cart_id, "orders": [serializers.order(one) for one in found]})


class CheckoutStatusView(APIView):
    def get(self, request: Request, saga_id: str) -> HttpResponse:
        found = queries.checkout(saga_id=saga_id)
        if found is None:
            raise problems.unknown("saga", saga_id)
        return answer(serializers.checkout_status(found))


@contextmanager
def _refusals(cart_id: str) -> Iterator[None]:
    """Answers what the carts' operations raise."""
    try:
        yield
    except Cart.DoesNotExist as error:
        raise problems.unknown("cart", cart_id) from error
    except CartItem.DoesNotExist as error:
        raise problems.unknown("such item in cart", cart_id) from error
    except NotChanged as error:
        status = 404 if error.refused.code == refusals.UNKNOWN_PRODUCT else 409
        raise problems.refusal(error.refused, status=status) from error


def _found(cart_id: str) -> Cart:
    cart = queries.cart(cart_id=cart_id)
    if cart is None:
        raise problems.unknown("cart", cart_id)
    return cart


def _outcome(made: Cart | Refused) -> Outcome:
    return made if isinstance(made, Refused) else Done({"id": made.id})
