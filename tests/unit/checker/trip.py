"""A saga that is not the shop's, described as its owner would: a trip with flight and hotel."""

from checker.protocol.description import Call, Choreography, Ending, Orchestration, Reaction
from contracts.sagas import Saga, Step, StepClass
from sagas.operations import Kind


def step(name, service, step_class=StepClass.COMPENSABLE, **more) -> Step:
    """Its paths are its name; only the conductor uses them."""
    if step_class is StepClass.COMPENSABLE:
        more.setdefault("undo", f"/{name}/undo")
    return Step(
        name=name,
        service=service,
        step_class=step_class,
        do=f"/{name}",
        do_command="Command",
        **more,
    )


ASK = step("ask", "website")
FLIGHT = step("flight", "flights")
HOTEL = step("hotel", "hotels")
CHARGE = step("charge", "bank", StepClass.PIVOT, undo="/charge/undo", block="/charge/block")
TICKET = step("ticket", "flights", StepClass.RETRIABLE)
STEPS = [ASK, FLIGHT, HOTEL, CHARGE, TICKET]

REACTIONS = [
    Reaction("trip.asked", "flights", Kind.DO, "flight", "flight.booked", "flight.refused"),
    Reaction("flight.booked", "hotels", Kind.DO, "hotel", "hotel.booked", "hotel.refused"),
    Reaction("hotel.booked", "bank", Kind.DO, "charge", "charge.done", "charge.refused"),
    Reaction("charge.done", "flights", Kind.DO, "ticket", "trip.done"),
    Reaction("charge.refused", "hotels", Kind.UNDO, "hotel", "hotel.off"),
    Reaction("hotel.off", "flights", Kind.UNDO, "flight", "flight.off"),
    Reaction("hotel.refused", "flights", Kind.UNDO, "flight", "flight.off"),
    Reaction("flight.off", "website", Kind.UNDO, "ask", "trip.off"),
    Reaction("flight.refused", "website", Kind.UNDO, "ask", "trip.off"),
    Reaction("stop.asked", "bank", Kind.BLOCK, "charge", "", "charge.refused"),
    Reaction("back.asked", "bank", Kind.UNDO, "charge", "charge.back"),
    Reaction("charge.back", "hotels", Kind.UNDO, "hotel", "hotel.off"),
]


def trip(*, steps=STEPS, but=None, plus=(), **fields) -> Choreography:
    """The trip, right unless told otherwise. `but`: what is heard -> the reaction instead (None:
    none). `plus`: further reactions.
    """
    changed = {one.hears: one for one in REACTIONS} | (but or {})
    return Choreography(
        **{
            "name": "trip",
            "saga": Saga(name="trip", steps=list(steps)),
            "reactions": [one for one in changed.values() if one] + list(plus),
            "asked": dict.fromkeys(["trip.asked", "stop.asked", "back.asked"], "website"),
            "start": "trip.asked",
            "abort": "stop.asked",
            "giving_back": "back.asked",
            "ends": {"trip.done": Ending.COMPLETED, "trip.off": Ending.UNDONE},
            **fields,
        }
    )


def conducted(*, steps=STEPS, **fields) -> Orchestration:
    """The same trip with a conductor, over messages: each call is named by its path."""
    calls = [
        Call(path, one.service, kind, one.name)
        for one in steps
        for kind, path in ((Kind.DO, one.do), (Kind.UNDO, one.undo), (Kind.BLOCK, one.block))
        if path and path != ASK.do
    ]
    answers = [
        Reaction(one.message, one.service, one.kind, one.step, "done", "refused") for one in calls
    ]
    return Orchestration(
        **{
            "name": "conducted trip",
            "saga": Saga(name="trip", steps=list(steps)),
            "conductor": "agency",
            "calls": calls,
            "reactions": answers,
            "replies": {"done", "refused"},
            **fields,
        }
    )


def protocols() -> list[Choreography | Orchestration]:
    """For `manage.py sagas check --protocols`: both, which must do the same."""
    return [conducted(), trip()]
