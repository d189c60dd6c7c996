"""Looking at carts, checkouts and orders."""

from carrito.models import Cart, Checkout, Order


def cart(*, cart_id: str) -> Cart | None:
    """The cart with its items."""
    return Cart.objects.prefetch_related("items").filter(pk=cart_id).first()


def order(*, order_id: str) -> Order | None:
    """The order with its checkout."""
    return Order.objects.select_related("checkout").filter(pk=order_id).first()


def orders_of_cart(*, cart_id: str) -> list[Order]:
    """Newest first; one that was not cancelled at most."""
    return list(
        Order.objects.select_related("checkout").filter(cart_id=cart_id).order_by("-created_at")
    )


def checkout(*, saga_id: str) -> Checkout | None:
    """The checkout with its order, if it has one; without its lines, which may be damaged."""
    found = Checkout.objects.select_related("order").defer("items", "billing_address")
    return found.filter(pk=saga_id).first()


def saga_of_order(*, order_id: str) -> str | None:
    """The saga that an order belongs to."""
    return Order.objects.filter(pk=order_id).values_list("checkout_id", flat=True).first()
