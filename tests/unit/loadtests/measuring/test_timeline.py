"""The message that asks for each step, in sagas of any length."""

import pytest

from catalogue import SAGAS
from catalogue.checkout import PADDED
from contracts.events import route
from contracts.projection import request_of
from contracts.saga import Direction
from loadtests import shop
from loadtests.measuring import timeline


@pytest.mark.parametrize("name", sorted(SAGAS))
def test_every_step_is_asked_for_by_an_event_and_by_a_request(name: str) -> None:
    saga = SAGAS[name]
    asks = timeline.asks_of(saga=saga)
    events = [asks[route(name, step.done)] for step in saga.steps[:-1]]
    requests = [asks[route(name, request_of(step, Direction.DO))] for step in saga.steps[1:]]
    assert events == requests == [step.name for step in saga.steps[1:]]


@pytest.mark.parametrize("count", range(len(PADDED) + 1))
def test_longer_checkout_has_its_padding_before_its_last_step(count: int) -> None:
    saga = shop.definition_of(saga="checkout", extra_steps=count)
    assert len(saga.steps) == 1 + shop.OWN_STEPS + count
    added = saga.steps[shop.OWN_STEPS : -1]
    assert [step.service for step in added] == list(PADDED[:count])
    asks = timeline.asks_of(saga=saga)
    before_last = [asks[route("checkout", step.done)] for step in saga.steps[-2 - count : -1]]
    assert before_last == [*(step.name for step in added), "confirm_order"]
