"""Looking at carts, checkouts and orders."""

from collections.abc import Sequence

from carrito.models import Cart, Checkout, Order
from contracts.states import Complaint
from contracts.statuses import Pattern
from sagas import sql

HANDED_OVER_SECONDS = 10
"""A hand-over is made at once; one that takes longer is not made."""
MOST_LOOKED_AT = 1000
_NOT_HANDED_OVER = f"""
    SELECT pattern.name, count(*), min(accepted_at),
           (array_agg(saga_id ORDER BY accepted_at))[1:%s]
    FROM unnest(%s::text[]) AS pattern (name) CROSS JOIN LATERAL (
        SELECT saga_id, accepted_at FROM carrito_checkout
        WHERE handed_over_at IS NULL AND saga_pattern = pattern.name
          AND accepted_at < now() - make_interval(secs => %s)
        ORDER BY accepted_at LIMIT {MOST_LOOKED_AT}) AS waiting
    GROUP BY pattern.name
"""


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


def set_aside(*, after: str, limit: int) -> Sequence[Checkout]:
    """Checkouts that can't be handed over, by their saga's id, from the one after `after`."""
    found = Checkout.objects.filter(set_aside_at__isnull=False, saga_id__gt=after)
    return list(found.defer("items", "billing_address").order_by("saga_id")[:limit])


def saga_of_order(*, order_id: str) -> str | None:
    """The saga that an order belongs to."""
    return Order.objects.filter(pk=order_id).values_list("checkout_id", flat=True).first()


def stalls(*, limit: int) -> list[Complaint]:
    """Checkouts that were accepted and that no coordinator has been told of, by pattern."""
    rows = sql.execute(
        service="carrito",
        sql=_NOT_HANDED_OVER,
        values=[limit, [one.value for one in Pattern], HANDED_OVER_SECONDS],
    )
    return [
        Complaint(
            what=f"{count} {pattern} checkouts are accepted and not handed over:"
            f" {', '.join(saga_ids)}",
            since=since,
            do="see the coordinator of this pattern and the worker of carrito; they are handed"
            " over by themselves then",
        )
        for pattern, count, since, saga_ids in rows
    ]
