"""A measurement without a result ends its command with a message and the right status."""

import io
from argparse import ArgumentTypeError
from collections.abc import Callable

import psycopg
import pytest
from django.core.management.base import CommandError

from loadtests.load.generator import GeneratorFailed
from loadtests.load.workload import NotSupplied
from loadtests.management.explained import (
    ExplainedCommand,
    MeasuringCommand,
    between,
    milliseconds,
    positive,
)
from loadtests.measuring.samples import NotMeasured
from messaging.brokers import BrokerUnavailable
from stack.console import StackError

FAILURES = (StackError, NotSupplied, GeneratorFailed, NotMeasured)


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_is_reported_as_it_is(failure: type[Exception]) -> None:
    with pytest.raises(CommandError, match=r"^it went wrong$"):
        _end(failure("it went wrong"))


@pytest.mark.parametrize("failure", [psycopg.OperationalError, BrokerUnavailable])
def test_stack_that_is_gone_is_named(failure: type[Exception]) -> None:
    with pytest.raises(CommandError, match="The stack stopped answering: gone"):
        _end(failure("gone"))


def test_interrupt_has_its_own_status_and_says_what_is_left() -> None:
    errors = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        _end(KeyboardInterrupt(), errors)
    assert ended.value.code == 130
    assert "stopped: nothing is kept" in errors.getvalue()


def test_bug_of_ours_is_raised_unchanged() -> None:
    with pytest.raises(ZeroDivisionError):
        _end(ZeroDivisionError())


def test_help_fits_a_terminal_and_keeps_paragraphs_and_examples() -> None:
    command = ExplainedCommand()
    command.help = f"One.\n\n{'two ' * 30}:\n\n    three   four\n"
    shown = command.create_parser("manage.py", "any").format_help()
    assert "One.\n\ntwo two" in shown
    assert "\n\n    three   four\n" in shown
    assert max(map(len, shown.splitlines())) <= 79


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        (positive, "-3", "must be above 0, not -3"),
        (between(0, 50, unit="ms"), "90ms", "must be from 0 to 50ms, not 90"),
        (milliseconds, "2sec", "'2sec' is not a number like 2ms"),
    ],
)
def test_wrong_value_of_an_option_is_explained_in_words(
    kind: Callable[[str], float], text: str, why: str
) -> None:
    with pytest.raises(ArgumentTypeError, match=why):
        kind(text)


def _end(failure: BaseException, errors: io.StringIO | None = None) -> None:
    command = MeasuringCommand(stderr=errors or io.StringIO(), no_color=True)
    with command.measuring(if_stopped="nothing is kept"):
        raise failure
