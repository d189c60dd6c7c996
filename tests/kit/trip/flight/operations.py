"""The airline's operations in a saga: a list of commands at a time, an outcome for each."""

from collections.abc import Sequence

from catalogue import Book
from contracts.outcomes import Done, Outcome, Refused
from contracts.saga import Undo
from flight.models import Booking
from participant.operations import does, undoes

FLOWN_TO = ("Lisbon", "Oslo")


@does(service="flight")
def book(commands: Sequence[Book]) -> list[Outcome]:
    """Refused: not_flown_to."""
    Booking.objects.bulk_create(
        Booking(saga_id=command.saga_id, traveller=command.traveller, city=command.city)
        for command in commands
        if command.city in FLOWN_TO
    )
    return [
        Done()
        if command.city in FLOWN_TO
        else Refused("not_flown_to", f"There is no flight to {command.city}.")
        for command in commands
    ]


@undoes(book)
def cancel(commands: Sequence[Undo]) -> list[Outcome]:
    booked = Booking.objects.filter(saga_id__in=[command.saga_id for command in commands])
    booked.update(is_cancelled=True)
    return [Done() for _ in commands]
