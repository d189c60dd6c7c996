"""Looking at slots and bookings."""

from collections.abc import Sequence

from django.db.models import QuerySet

from reservas.models import Booking, BookingStatus, Decision, Slot
from reservas.operations import approve


def slots() -> QuerySet[Slot]:
    """All slots, in the order of their ids."""
    return Slot.objects.order_by("id")


def booking(*, booking_id: str) -> Booking | None:
    """The booking with this id, and its slot."""
    return Booking.objects.select_related("slot").filter(pk=booking_id).first()


def bookings(*, user_id: str = "", status: str = "") -> QuerySet[Booking]:
    """The bookings (of a user, of a status) with their slots, newest first."""
    found = Booking.objects.select_related("slot").order_by("-accepted_at", "-saga_id")
    if user_id:
        found = found.filter(user_id=user_id)
    return found.filter(booking_status=status) if status else found


def is_asked(*, booking_id: str) -> bool:
    """Whether a manager was asked about this booking, whatever was said."""
    return _asked().filter(saga_id=booking_id).exists()


def asked_or_over(booking_ids: Sequence[str]) -> set[str]:
    """Of these bookings those whose manager was asked, or will not be any more."""
    asked = _asked().filter(saga_id__in=booking_ids)
    over = Booking.objects.filter(pk__in=booking_ids).exclude(
        booking_status=BookingStatus.PENDING, withdrawn_at=None
    )
    return {*asked.values_list("saga_id", flat=True), *over.values_list("pk", flat=True)}


def _asked() -> QuerySet[Decision]:
    return Decision.objects.filter(action=approve.action)
