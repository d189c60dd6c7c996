"""Looking at couriers and deliveries."""

from django.db.models import QuerySet

from envios.models import Courier, Delivery


def couriers() -> QuerySet[Courier]:
    """All couriers, in the order of their ids."""
    return Courier.objects.order_by("id")


def deliveries(*, subject: str = "") -> QuerySet[Delivery]:
    """The deliveries (of an order), with their couriers, newest first."""
    found = Delivery.objects.select_related("courier").order_by("-id")
    return found.filter(subject=subject) if subject else found


def delivery(*, delivery_id: str) -> Delivery | None:
    """The delivery with this id."""
    is_id = delivery_id.isascii() and delivery_id.isdecimal() and len(delivery_id) < 19
    return deliveries().filter(pk=int(delivery_id)).first() if is_id else None
