"""Looking at products and reservations."""

from collections.abc import Sequence

from django.db.models import Prefetch, Q, QuerySet

from inventario.models import Product, Reservation, ReservationLine


def product(*, product_id: int | None) -> Product | None:
    """The product with this id."""
    return Product.objects.filter(pk=product_id).first()


def products(
    *, category: str = "", search: str = "", ids: Sequence[int] | None = None
) -> QuerySet[Product]:
    """The products that match all that is asked for, in the order of their ids."""
    found = Product.objects.all()
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
