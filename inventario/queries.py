"""Looking at products and reservations."""

from collections.abc import Sequence

from django.db.models import Prefetch, Q, QuerySet

from contracts.states import Complaint
from inventario.models import Product, Reservation, ReservationLine
from sagas import sql

OVERDUE_SECONDS = 30
MOST_LOOKED_AT = 1000
_OVERDUE = f"""
    SELECT saga_id, expires_at FROM inventario_reservation
    WHERE status = 'reserved' AND expires_at < now() - make_interval(secs => %s)
    ORDER BY expires_at LIMIT {MOST_LOOKED_AT}
"""


def product(*, product_id: int | None) -> Product | None:
    """The product with this id."""
    return Product.objects.filter(pk=product_id).first()


def products(
    *, category: str = "", search: str = "", ids: Sequence[int] | None = None
) -> QuerySet[Product]:
    """The products that match all that is asked for, in the order of their ids."""
    found = Product.objects.order_by("id")
    if category:
        found = found.filter(category__iexact=category)
    if search:
        found = found.filter(
            Q(name__icontains=search) | Q(sku__icontains=search) | Q(description__icontains=search)
        )
    return found if ids is None else found.filter(pk__in=ids)


def reservations_of_cart(*, cart_id: str) -> list[Reservation]:
    """A cart's reservations with their lines, newest first: one a checkout that came so far."""
    lines = Prefetch("lines", ReservationLine.objects.order_by("product_id"))
    found = Reservation.objects.filter(cart_id=cart_id).prefetch_related(lines)
    return list(found.order_by("-id"))


def stalls(*, limit: int) -> list[Complaint]:
    """Reservations whose time is over and that nobody releases."""
    rows = sql.execute(service="inventario", sql=_OVERDUE, values=[OVERDUE_SECONDS])
    if not rows:
        return []
    named = ", ".join(saga_id for saga_id, _ in rows[:limit])
    return [
        Complaint(
            what=f"{len(rows)} reservations are over and not released, of sagas: {named}",
            since=rows[0][1],
            do="see the worker of inventario; if it lives, what locks these rows",
        )
    ]
