"""The saga, with a row for each step, and the commands of its steps."""

from contracts.bounds import Name
from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Command, Saga, Step, register


class Book(Command, frozen=True, kw_only=True):
    """A room, or a seat, for this traveller in this city."""

    traveller: Name
    city: Name


TRIP = Saga(
    name="trip",
    subject="trip_id",
    door="/trips",
    abort="trip.abort.requested",
    give_back="trip.return.requested",
    steps=(
        Step(
            "accept_trip",
            "trips.accept",
            COMPENSABLE,
            done="trip.requested",
            undone="trip.failed",
        ),
        Step(
            "book_hotel",
            "hotel.book",
            COMPENSABLE,
            done="hotel.booked",
            refused="hotel.refused",
            undone="hotel.cancelled",
        ),
        Step(
            "book_flight",
            "flight.book",
            PIVOT,
            done="flight.booked",
            refused="flight.refused",
            undone="flight.cancelled",
        ),
        Step("confirm_trip", "trips.confirm", RETRIABLE, done="trip.confirmed"),
    ),
)

register(sagas=[TRIP], commands={"hotel.book": Book, "flight.book": Book})
