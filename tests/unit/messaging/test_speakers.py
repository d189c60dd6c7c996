"""The services that may publish each message, from the definitions: compared with the services' own
reactions.
"""

import pytest
from django.apps import apps

from contracts import projection, topology
from contracts.saga import SAGAS


@pytest.mark.parametrize("service", topology.services())
def test_queue_is_bound_to_what_its_service_reacts_to(service):
    reactions = apps.get_app_config(service).reactions()
    assert {(reaction.saga, reaction.on) for reaction in reactions} == topology.consumed_by(service)


@pytest.mark.parametrize("saga", SAGAS)
def test_event_of_a_step_is_published_only_by_its_own_service(saga):
    for step in SAGAS[saga].steps:
        for event in filter(None, (step.done, step.refused, step.undone)):
            assert topology.publishers()[saga, event] == {step.service}


@pytest.mark.parametrize("saga", SAGAS)
def test_watchdog_publishes_no_event_of_a_step(saga):
    known = {event for name, event in topology.publishers() if name == saga}
    own = {event for event in known if topology.WATCHING in topology.publishers()[saga, event]}
    definition = SAGAS[saga]
    assert own == {definition.abort, definition.give_back, *projection.APPEALS}


def test_publisher_of_each_message_may_write_to_its_exchange():
    for service in topology.services():
        for exchange, keys in topology.published_by(service).items():
            assert all(topology.exchange_of(message_type=key) == exchange for key in keys)
