"""The extra steps of the checkout: how many, where in the chain, and that all of it still holds."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from config.settings import BASE_DIR
from contracts import events, extras, sagas
from contracts.sagas import StepClass
from loadtests.measuring import timeline

COUNTS = range(extras.MOST + 1)
every_count = pytest.mark.parametrize("count", COUNTS)


def manage(*words: str, extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=BASE_DIR,
        env={**os.environ, extras.VARIABLE: extra},
        capture_output=True,
        text=True,
        check=False,
    )


def test_checkout_usually_has_none():
    assert not extras.EXTRAS
    assert extras.LAST_FACT == events.INVENTORY_COMMITTED
    assert sagas.checkout(extras=[]) == sagas.CHECKOUT


@every_count
def test_extra_steps_come_between_the_commit_and_the_confirmation(count):
    steps = sagas.checkout(extras=extras.chain(count=count)).steps
    assert len(steps) == 1 + sagas.OWN_STEPS + count
    assert [*steps[: sagas.OWN_STEPS], steps[-1]] == sagas.CHECKOUT.steps
    added = steps[sagas.OWN_STEPS : -1]
    assert all(one.step_class is StepClass.RETRIABLE and not one.undo for one in added)


@every_count
def test_each_step_from_the_commit_on_is_at_another_service_than_the_one_before(count):
    steps = sagas.checkout(extras=extras.chain(count=count)).steps
    services = [one.service for one in steps[sagas.OWN_STEPS - 1 :]]
    assert all(one != other for one, other in pairwise(services))


@every_count
def test_each_extra_step_hears_what_the_one_before_it_says(count):
    chain = extras.chain(count=count)
    said = [events.INVENTORY_COMMITTED, *(one.says for one in chain)]
    assert [one.hears for one in chain] == said[:-1]
    assert extras.last_fact(extras=chain) == said[-1]


@pytest.mark.parametrize("text", ["4", "-1", "1.5", "many", " 1"])
def test_number_that_can_not_be_is_refused_in_plain_words(text):
    with pytest.raises(ValueError, match=rf"DUETO_EXTRA_STEPS is '{text}': .* from 0 to 3"):
        extras.asked_for(environment={extras.VARIABLE: text})


def test_process_with_a_number_that_can_not_be_does_not_start():
    ended = manage("sagas", "check", extra="4")
    assert ended.returncode != 0
    assert "DUETO_EXTRA_STEPS is '4'" in ended.stderr


def test_protocols_with_three_extra_steps_break_no_rule():
    ended = manage("sagas", "check", extra="3")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Everything holds" in ended.stdout


def test_drawn_choreography_goes_through_the_extra_steps():
    drawn = manage("sagas", "graph", extra="3").stdout
    for one in extras.chain(count=3):
        assert f'"{one.service}<br/>do {one.name}"' in drawn
        assert f"|{one.says}|" in drawn


def test_explorer_plays_the_extra_steps_too():
    ended = manage("sagas", "explore", "--replay", "choreographed/one", extra="3")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "pagos hears extra.2.done of saga-1" in ended.stdout
    assert "saga-1 completed/completed" in ended.stdout


@every_count
def test_waterfall_knows_which_message_asks_for_each_step(count):
    chain = extras.chain(count=count)
    saga = sagas.checkout(extras=chain)
    asks = timeline.asks_of(saga=saga, more=chain)
    by_fact = [asks[one] for one in (events.INVENTORY_COMMITTED, *(e.says for e in chain))]
    assert by_fact == [*(one.name for one in chain), sagas.CONFIRM_ORDER]
    assert {asks[one.do_request] for one in saga.steps[1:]} == {one.name for one in saga.steps[1:]}
