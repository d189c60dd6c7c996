"""Looking at orders."""

from django.db.models import QuerySet

from pedidos.models import Order


def order(*, order_id: str) -> Order | None:
    """The order with this id."""
    return Order.objects.filter(pk=order_id).first()


def orders(*, user_id: str = "", status: str = "") -> QuerySet[Order]:
    """The orders (of a user, of a status), newest first."""
    found = Order.objects.order_by("-accepted_at", "-saga_id")
    if user_id:
        found = found.filter(user_id=user_id)
    return found.filter(order_status=status) if status else found
