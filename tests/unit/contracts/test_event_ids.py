"""The id of an event: the same at each publication, and different for any other event."""

from itertools import product

from catalogue import SAGAS
from contracts import events, projection
from contracts.saga import Direction

ASKED = {"saga_id": "s", "step": "process_payment", "direction": "do"}


def test_event_has_the_same_id_in_every_process():
    assert events.event_id(**ASKED) == "56e4114c-a7bb-56b4-b680-f973bf6d706b"


def test_every_step_direction_saga_and_attempt_has_its_own():
    asked = list(
        product(
            ("s", "t"),
            {step.name for saga in SAGAS.values() for step in saga.steps},
            [*Direction, *(f"reply {way}" for way in Direction), "parked pagos order.cancelled"],
            (1, 2),
        )
    )
    ids = {
        events.event_id(saga_id=saga_id, step=step, direction=direction, attempt=attempt)
        for saga_id, step, direction, attempt in asked
    }
    assert len(ids) == len(asked)


def test_route_names_the_saga_so_that_no_two_sagas_share_one():
    routes = [events.route(name, event) for name in SAGAS for event in projection.events(name)]
    assert len(routes) == len(set(routes))
