"""The hotel's operations in a saga: a list of commands at a time, an outcome for each."""

from collections.abc import Sequence

from catalogue import Book
from contracts.outcomes import Done, Outcome
from contracts.saga import Undo
from hotel.models import Booking
from participant.operations import does, undoes


@does(service="hotel")
def book(commands: Sequence[Book]) -> list[Outcome]:
    Booking.objects.bulk_create(
        Booking(saga_id=command.saga_id, traveller=command.traveller, city=command.city)
        for command in commands
    )
    return [Done() for _ in commands]


@undoes(book)
def cancel(commands: Sequence[Undo]) -> list[Outcome]:
    """Called only for bookings that were made: the barrier makes sure of that."""
    booked = Booking.objects.filter(saga_id__in=[command.saga_id for command in commands])
    booked.update(is_cancelled=True)
    return [Done() for _ in commands]
