"""The checker's model of the barrier answers as the barrier itself does."""

from itertools import product

import pytest

from checker.protocol import journeys as model
from contracts.commands import Command
from contracts.outcomes import Done, Refused
from contracts.saga import Direction
from participant.operations import Operation, blocks, does, undoes
from participant.performing import perform

pytestmark = pytest.mark.django_db(databases=["pagos"])

STEP = "a_step"
ASKED = ("do", "refused do", "undo", "block")
"""What is asked of a step: to be done (which is decided either way), undone, or blocked."""

SEQUENCES = [sequence for length in (1, 2, 3, 4) for sequence in product(ASKED, repeat=length)]


def operations(ran: list[str]) -> dict[str, Operation]:
    """Each writes into `ran` that it ran."""

    def running(name, outcome):
        def run(commands):
            ran.append(name)
            return [outcome for _ in commands]

        return run

    do = does(service="pagos")(running("do", Done({})))
    return {
        "do": do,
        "refused do": does(service="pagos")(running("refused do", Refused("no"))),
        "undo": undoes(do)(running("undo", Done({}))),
        "block": blocks(do),
    }


def really(sequence: tuple[str, ...]) -> list[tuple[bool, bool, bool]]:
    """For each: whether it was done, answered now, and took effect; from the real barrier."""
    ran: list[str] = []
    known = operations(ran)
    answers = []
    for asked in sequence:
        ran.clear()
        command = Command(saga_id=" > ".join(sequence), step=STEP, saga="checkout")
        (one,) = perform(operation=known[asked], commands=[command])
        took_effect = ran in (["do"], ["undo"])
        answers.append((isinstance(one.outcome, Done), one.fresh, took_effect))
    return answers


def modelled(sequence: tuple[str, ...]) -> list[tuple[bool, bool, bool]]:
    book: model.Book = frozenset()
    answers = []
    for asked in sequence:
        direction = Direction(asked.split()[-1])
        answer = model.perform(
            book=book, direction=direction, step=STEP, is_refused=asked == "refused do"
        )
        book = answer.book
        answers.append((answer.is_done, answer.is_fresh, answer.takes_effect))
    return answers


def test_model_answers_every_sequence_as_the_barrier_does():
    differing = [one for one in SEQUENCES if really(one) != modelled(one)]
    assert not differing
    assert len(SEQUENCES) == 340
