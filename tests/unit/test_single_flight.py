"""A question that is never answered delays its callers only for a limited time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from httpapi.health import SingleFlight


class Question:
    """Answers once `gate` is open; counts the calls."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        self.gate.wait()
        return self.asked


@pytest.fixture
def question() -> Iterator[Question]:
    made = Question()
    yield made
    made.gate.set()


def test_answers_again_and_again(question: Question) -> None:
    flight = SingleFlight(name="test")
    question.gate.set()
    assert [flight.ask(question=question, seconds=5) for _ in range(3)] == [1, 2, 3]


def test_question_that_hangs_delays_its_callers_only_for_the_stated_time(
    question: Question,
) -> None:
    flight = SingleFlight(name="test")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            flight.ask(question=question, seconds=0.05)
    assert question.asked == 1, "no other caller hangs behind it"
    question.gate.set()
    assert flight.ask(question=question, seconds=5) in (1, 2), "it goes on by itself"


def test_question_that_is_asked_directly_delays_its_caller(question: Question) -> None:
    """The control."""
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(question)
        with pytest.raises(TimeoutError):
            answer.result(0.2)
        question.gate.set()


def test_error_of_the_question_is_raised_in_its_caller() -> None:
    def raises() -> None:
        raise LookupError("nothing there")

    flight = SingleFlight(name="test")
    for _ in range(2):
        with pytest.raises(LookupError):
            flight.ask(question=raises, seconds=5)
