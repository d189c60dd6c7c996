"""Overload: the shop keeps its pace, refuses the rest at once, and ends all accepted sagas."""

import random
from itertools import count

import pytest

from contracts.patterns import CHOREOGRAPHED, ORCHESTRATED
from loadtests.load.windows import Arrivals, Load, WindowPhase, in_blocks
from loadtests.measuring.samples import (
    ACCEPTED,
    COMPLETED,
    NOT_ACCEPTED,
    completed_per_second,
    completed_while_offered,
)
from loadtests.running.bench import runner_on

SECONDS = 8.0
BURST = 300.0
TOO_MANY = 4.0
"""As many as the shop did a second in the burst before."""
LEAST_SHARE = 0.2
"""The share of that pace under overload: far below a quiet machine's, and above that of the
orchestrated pattern without admission (0.05).
"""
numbers = count(1)


@pytest.fixture(scope="module", params=[ORCHESTRATED, CHOREOGRAPHED])
def rush(request, stack, tmp_path_factory):
    """Completed/s in a burst, and the samples of a window with many times that load."""
    folder = tmp_path_factory.mktemp("rush")
    name = f"rush{next(numbers)}"
    with runner_on(stack=stack, name=name, folder=folder, say=print) as runner:

        def offer(rate: float):
            load = Load(
                phase=WindowPhase.FULL, arrivals=Arrivals.CONSTANT, rate=rate, seconds=SECONDS
            )
            (window,) = in_blocks(loads=[load], patterns=[request.param], chance=random.Random(1))
            return runner.measure(window=window, seen=[]).samples

        pace = completed_per_second(offer(BURST))
        return pace, offer(round(pace * TOO_MANY))


def test_every_accepted_checkout_completes(rush):
    _, samples = rush
    assert {sample.outcome for sample in samples if sample.http_status == ACCEPTED} == {COMPLETED}


def test_shop_keeps_its_pace_under_overload(rush):
    pace, samples = rush
    assert completed_while_offered(samples, seconds=SECONDS) > pace * LEAST_SHARE


def test_other_checkouts_are_refused_at_once(rush):
    _, samples = rush
    refused = [sample for sample in samples if sample.outcome == NOT_ACCEPTED]
    assert len(refused) > len(samples) / 4
    assert {sample.http_status for sample in refused} == {503}
    assert {sample.error.partition(":")[0] for sample in refused} == {"overloaded"}
    waited = sorted(sample.acceptance_ms for sample in refused)
    assert waited[len(waited) // 2] < 500


def test_no_checkout_is_refused_after_the_overload(rush, shop):
    cart = shop.cart(product=shop.product(quantity=1))
    status, begun = shop.check_out(cart, ORCHESTRATED)
    assert status == 202, begun
    assert shop.ended(begun["saga_id"])["status"] == COMPLETED
