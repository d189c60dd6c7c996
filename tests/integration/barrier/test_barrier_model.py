"""The checker's model of the barrier answers as the barrier itself does."""

from itertools import product

import pytest

from checker.protocol import journeys as model
from contracts.outcomes import Done, Refused
from contracts.saga import Command, Direction
from participant import decisions
from participant.decisions import GivenVerdict
from participant.executing import execute
from participant.operations import Operation, asks, blocks, does, undoes

pytestmark = pytest.mark.django_db(databases=["pagos", "tarjetas"])

STEP = "a_step"
ASKED = ("do", "refused do", "undo", "block")
"""The commands for a step: do (with either decision), undo, or block."""

SEQUENCES = [sequence for length in (1, 2, 3, 4) for sequence in product(ASKED, repeat=length)]
WAITING = [
    ("ask", *sequence)
    for length in (1, 2, 3)
    for sequence in product(("ask", "undo", "block", "yes", "no"), repeat=length)
]
"""For a step that waits for a decision: yes or no."""


def operations(ran: list[str]) -> dict[str, Operation]:
    """Operations that note in `ran` that they ran."""

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
    """For each command, from the real barrier: whether it was done, was fresh, and took effect."""
    ran: list[str] = []
    known = operations(ran)
    answers = []
    for asked in sequence:
        ran.clear()
        command = Command(saga_id=" > ".join(sequence), step=STEP, saga="checkout")
        (executed,) = execute(operation=known[asked], commands=[command])
        took_effect = ran in (["do"], ["undo"])
        answers.append((isinstance(executed.outcome, Done), executed.fresh, took_effect))
    return answers


def modelled(sequence: tuple[str, ...]) -> list[tuple[bool, bool, bool]]:
    book: model.Book = frozenset()
    answers = []
    for asked in sequence:
        direction = Direction(asked.split()[-1])
        answer = model.execute(
            book=book, direction=direction, step=STEP, is_refused=asked == "refused do"
        )
        book = answer.book
        answers.append((answer.is_done, answer.is_fresh, answer.takes_effect))
    return answers


def asking(ran: list[str]) -> dict[str, Operation]:
    """The operations of a step that waits; a yes does it."""

    def decide(verdicts):
        ran.extend("do" for verdict in verdicts if verdict.word == "yes")
        return [Done({}) if verdict.word == "yes" else Refused("no") for verdict in verdicts]

    def run(commands):
        return [asks(command=command, decided_by="manager", seconds=900) for command in commands]

    def undo(commands):
        ran.append("undo")
        return [Done({}) for _ in commands]

    ask = does(service="pagos", decide=decide)(run)
    return {"ask": ask, "undo": undoes(ask)(undo), "block": blocks(ask)}


def really_waiting(sequence: tuple[str, ...]) -> list[tuple[bool, bool, bool]]:
    ran: list[str] = []
    known, saga_id, answers = asking(ran), " > ".join(sequence), []
    for asked in sequence:
        ran.clear()
        if asked in known:
            command = Command(saga_id=saga_id, step=STEP, saga="checkout")
            (decided,) = execute(operation=known[asked], commands=[command])
        else:
            given = GivenVerdict(saga_id=saga_id, step=STEP, word=asked)
            (decided,) = decisions.decide(operation=known["ask"], given=[given])
        answers.append(
            (isinstance(decided.outcome, Done), decided.fresh, ran in (["do"], ["undo"]))
        )
    return answers


def modelled_waiting(sequence: tuple[str, ...]) -> list[tuple[bool, bool, bool]]:
    book: model.Book = frozenset()
    answers = []
    for asked in sequence:
        if asked in ("yes", "no"):
            answer = model.decide(book=book, step=STEP, is_refused=asked == "no")
        else:
            direction = Direction.DO if asked == "ask" else Direction(asked)
            answer = model.execute(book=book, direction=direction, step=STEP, asks=True)
        book = answer.book
        answers.append((answer.is_done, answer.is_fresh, answer.takes_effect))
    return answers


def test_model_decides_every_sequence_as_the_barrier_does():
    differing = [
        sequence for sequence in WAITING if really_waiting(sequence) != modelled_waiting(sequence)
    ]
    assert not differing
    assert len(WAITING) == 155


def test_model_answers_every_sequence_as_the_barrier_does():
    differing = [sequence for sequence in SEQUENCES if really(sequence) != modelled(sequence)]
    assert not differing
    assert len(SEQUENCES) == 340
