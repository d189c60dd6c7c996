"""Looking at products and reservations."""

from collections.abc import Sequence
from decimal import Decimal

from django.db.models import Prefetch, Q, QuerySet

from contracts import bounds
from contracts.states import Complaint
from inventario import store
from inventario.models import Product, Reservation, ReservationLine, ReservationStatus

OVERDUE_SECONDS = 30
MOST_LOOKED_AT = 1000


def product(*, product_id: int | None) -> Product | None:
    """The product with this id."""
    return Product.objects.filter(pk=product_id).first()


def products(
    *,
    category: str = "",
    search: str = "",
    ids: Sequence[int] | None = None,
    named: Sequence[str] = (),
) -> QuerySet[Product]:
    """The products that match all that is asked for, in the order of their ids. `named`: by sku or
    id.
    """
    found = Product.objects.order_by("id")
    if category:
        found = found.filter(category__iexact=category)
    if search:
        found = found.filter(
            Q(name__icontains=search) | Q(sku__icontains=search) | Q(description__icontains=search)
        )
    if named:
        named_ids = [found_id for text in named if (found_id := product_id_of(text)) is not None]
        found = found.filter(Q(sku__in=named) | Q(pk__in=named_ids))
    return found if ids is None else found.filter(pk__in=ids)


def prices(*, ids: Sequence[int]) -> dict[int, Decimal]:
    """What these products cost now, by id; unknown ones are missing."""
    return dict(Product.objects.filter(pk__in=ids).values_list("pk", "price"))


def reservations(*, subject: str) -> list[Reservation]:
    """The reservations of a cart or an order, newest first: one a checkout that came so far."""
    return list(_reservations().filter(subject=subject))


def put_aside() -> QuerySet[Reservation]:
    """The reservations that wait to be sold, newest first."""
    return _reservations().filter(status=ReservationStatus.RESERVED)


def _reservations() -> QuerySet[Reservation]:
    lines = Prefetch("lines", ReservationLine.objects.order_by("product_id"))
    return Reservation.objects.prefetch_related(lines).order_by("-id")


def product_id_of(text: str) -> int | None:
    """The id in a string such as "1"; None where it is none."""
    if text.isascii() and text.isdigit() and len(text) <= 19:
        return min(int(text), bounds.MOST_INTEGER)
    return None


def stalls(*, limit: int) -> list[Complaint]:
    """Reservations whose time is over and that nobody releases."""
    rows = store.overdue(seconds=OVERDUE_SECONDS, limit=MOST_LOOKED_AT)
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
