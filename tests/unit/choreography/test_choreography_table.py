"""The table of who listens to what tells the truth about the services."""

import carrito.reactions
import inventario.reactions
import pagos.reactions
from contracts import events
from contracts.sagas import CHECKOUT
from messaging.reactions import SagaReaction
from saga_choreography.checkout import LISTENS, Listens
from saga_choreography.reactions import REACTIONS
from saga_choreography.state import EVENT_TYPES

REGISTERED = [
    *inventario.reactions.REACTIONS,
    *pagos.reactions.REACTIONS,
    *carrito.reactions.REACTIONS,
]


def test_table_is_exactly_what_the_services_react_to():
    registered = {
        Listens(
            one.hears,
            one.operation.service,
            one.operation.kind,
            one.operation.step,
            one.says,
            one.says_if_refused,
        )
        for one in REGISTERED
        if isinstance(one, SagaReaction)
    }
    assert set(LISTENS) == registered


def test_table_names_each_step_with_its_own_service():
    services = {step.name: step.service for step in CHECKOUT.steps}
    assert all(services[one.step] == one.service for one in LISTENS)


def test_every_event_of_the_contract_is_heard_here():
    names = {
        value
        for name, value in vars(events).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert {one.hears for one in REACTIONS} | {events.CHECKOUT_INITIATED} == names
    assert set(EVENT_TYPES) == names - {events.STEP_PARKED}
