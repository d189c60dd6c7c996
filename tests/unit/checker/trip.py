"""A saga of another business, described as its owner would: a trip with flight and hotel."""

from checker.protocol.description import (
    Call,
    Choreography,
    DescribedReaction,
    Ending,
    Orchestration,
)
from contracts.projection import path_of
from contracts.saga import Direction, Saga, Step, StepClass


def step(name, service, step_class=StepClass.COMPENSABLE, **more) -> Step:
    """A step that can be undone, unless it is retriable."""
    undone = "" if step_class is StepClass.RETRIABLE else f"{name}.off"
    refused = "" if step_class is StepClass.RETRIABLE else f"{name}.refused"
    fields = {"done": f"{name}.done", "refused": refused, "undone": undone, **more}
    return Step(name, f"{service}.{name}", step_class, **fields)


ASK = step("ask", "website")
FLIGHT = step("flight", "flights")
HOTEL = step("hotel", "hotels")
CHARGE = step("charge", "bank", StepClass.PIVOT)
TICKET = step("ticket", "flights", StepClass.RETRIABLE)
STEPS = [ASK, FLIGHT, HOTEL, CHARGE, TICKET]

REACTIONS = [
    DescribedReaction(
        "trip.asked", "flights", Direction.DO, "flight", "flight.booked", "flight.refused"
    ),
    DescribedReaction(
        "flight.booked", "hotels", Direction.DO, "hotel", "hotel.booked", "hotel.refused"
    ),
    DescribedReaction(
        "hotel.booked", "bank", Direction.DO, "charge", "charge.done", "charge.refused"
    ),
    DescribedReaction("charge.done", "flights", Direction.DO, "ticket", "trip.done"),
    DescribedReaction("charge.refused", "hotels", Direction.UNDO, "hotel", "hotel.off"),
    DescribedReaction("hotel.off", "flights", Direction.UNDO, "flight", "flight.off"),
    DescribedReaction("hotel.refused", "flights", Direction.UNDO, "flight", "flight.off"),
    DescribedReaction("flight.off", "website", Direction.UNDO, "ask", "trip.off"),
    DescribedReaction("flight.refused", "website", Direction.UNDO, "ask", "trip.off"),
    DescribedReaction("stop.asked", "bank", Direction.BLOCK, "charge", "", "charge.refused"),
    DescribedReaction("back.asked", "bank", Direction.UNDO, "charge", "charge.back"),
    DescribedReaction("charge.back", "hotels", Direction.UNDO, "hotel", "hotel.off"),
]


def saga(steps=STEPS) -> Saga:
    """The saga of these steps."""
    return Saga(
        name="trip",
        subject="trip_id",
        steps=tuple(steps),
        abort="stop.asked",
        give_back="back.asked",
        door="/trips",
    )


def trip(*, steps=STEPS, but=None, plus=(), **fields) -> Choreography:
    """The trip, which is right by default. `but`: event -> the reaction instead (None: none).
    `plus`: further reactions.
    """
    changed = {reaction.on: reaction for reaction in REACTIONS} | (but or {})
    return Choreography(
        **{
            "name": "trip",
            "saga": saga(steps),
            "reactions": [reaction for reaction in changed.values() if reaction] + list(plus),
            "asked": dict.fromkeys(["trip.asked", "stop.asked", "back.asked"], "website"),
            "start": "trip.asked",
            "abort": "stop.asked",
            "giving_back": "back.asked",
            "ends": {"trip.done": Ending.COMPLETED, "trip.off": Ending.UNDONE},
            **fields,
        }
    )


def orchestrated(*, steps=STEPS, **fields) -> Orchestration:
    """The same trip with an orchestrator, over messages: each call is named by its path."""
    calls = [
        Call(path_of(made, direction), made.service, direction, made.name)
        for made in steps
        for direction in Direction
        if made.can(direction) and (made.name, direction) != ("ask", Direction.DO)
    ]
    answers = [
        DescribedReaction(call.message, call.service, call.direction, call.step, "done", "refused")
        for call in calls
    ]
    return Orchestration(
        **{
            "name": "orchestrated trip",
            "saga": saga(steps),
            "orchestrator": "agency",
            "calls": calls,
            "reactions": answers,
            "replies": {"done", "refused"},
            **fields,
        }
    )


def protocols() -> list[Choreography | Orchestration]:
    """For `manage.py sagas check --protocols`: both patterns, which must have the same effects."""
    return [orchestrated(), trip()]
