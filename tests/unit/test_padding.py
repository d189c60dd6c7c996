"""The padding steps of the checkout: how many, where in the chain, and that all still holds."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from catalogue.checkout import PADDED, PADDING, padding_steps
from config.settings import BASE_DIR
from contracts.saga import StepClass
from loadtests.shop import OWN_STEPS, definition_of

every_count = pytest.mark.parametrize("count", range(len(PADDED) + 1))


def manage(*words: str, extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=BASE_DIR,
        env={**os.environ, PADDING: extra},
        capture_output=True,
        text=True,
        check=False,
    )


@every_count
def test_padding_can_not_be_refused_and_is_never_undone(count):
    added = padding_steps(str(count))
    assert len(added) == count
    assert all(
        step.step_class is StepClass.RETRIABLE and not step.undone and not step.refused
        for step in added
    )


@every_count
def test_each_step_from_the_commit_on_is_at_another_service_than_the_one_before(count):
    steps = definition_of(saga="checkout", extra_steps=count).steps
    services = [step.service for step in steps[OWN_STEPS - 1 :]]
    assert all(service != next_service for service, next_service in pairwise(services))


@pytest.mark.parametrize("text", ["4", "-1", "1.5", "many", " 1"])
def test_invalid_number_is_refused_in_plain_words(text):
    with pytest.raises(ValueError, match=rf"DUETO_EXTRA_STEPS is '{text}': .* from 0 to 3"):
        padding_steps(text)


def test_process_with_an_invalid_number_does_not_start():
    ended = manage("sagas", "check", extra="4")
    assert ended.returncode != 0
    assert "DUETO_EXTRA_STEPS is '4'" in ended.stderr


def test_protocols_with_three_padding_steps_break_no_rule():
    ended = manage("sagas", "check", extra="3")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Everything holds" in ended.stdout


def test_drawn_choreography_goes_through_the_padding_steps():
    drawn = manage("sagas", "graph", extra="3").stdout
    for step in padding_steps("3"):
        assert f'"{step.service}<br/>do {step.name}"' in drawn
        assert f"|{step.done}|" in drawn


def test_explorer_plays_the_padding_steps_too():
    ended = manage("sagas", "explore", "--replay", "choreographed/checkout/one", extra="3")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "pagos receives saga.padded.2 of saga-1" in ended.stdout
    assert "saga-1 completed/completed" in ended.stdout
