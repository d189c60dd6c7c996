"""Each rule on the effects finds its breach, and nothing in a right run."""

import pytest

from catalogue import SAGAS
from checker.explorer.sagas import rules
from checker.explorer.sagas.environments import in_memory
from checker.explorer.sagas.participants import Word
from checker.explorer.sagas.rules import COMPLETED, UNDONE, Monotonicity, ObservedSaga
from checker.explorer.sagas.scenarios import scenarios_of
from contracts.patterns import PATTERNS
from contracts.saga import Direction

DO, UNDO = Direction.DO, Direction.UNDO
SAGA = SAGAS["checkout"]
ONE = scenarios_of(SAGA)[0]
NAMES = [step.name for step in SAGA.steps]
BEFORE_PIVOT = NAMES[: SAGA.pivot]
WHOLE = [(name, DO) for name in NAMES]
BACK = [(name, DO) for name in BEFORE_PIVOT] + [(name, UNDO) for name in BEFORE_PIVOT[::-1]]
DONE, GONE = ObservedSaga(COMPLETED, "completed"), ObservedSaga(UNDONE, "compensated")


def broken(acts, snapshot=DONE, units=0, may_return=False) -> list[str]:
    effects: dict = {}
    for at, (step, direction) in enumerate(acts):
        effects.setdefault(("saga-1", step, direction), []).append(float(at))
    return list(
        rules.breaches(
            scenario=ONE,
            effects=effects,
            units=units,
            snapshots={"saga-1": snapshot},
            may_return=may_return,
        )
    )


def test_complete_saga_and_undone_saga_break_nothing():
    assert broken(WHOLE) == []
    assert broken(BACK, GONE, units=1) == []
    assert broken([(NAMES[0], DO), (NAMES[0], UNDO)], ObservedSaga(UNDONE, "failed"), units=1) == []


def test_completed_saga_is_undone_only_on_request():
    acts = [*WHOLE, *((name, UNDO) for name in NAMES[SAGA.pivot :: -1])]
    assert broken(acts, GONE, units=1, may_return=True) == []
    assert broken(acts, GONE, units=1) == [
        "saga-1: undone after its pivot, and no return was requested"
    ]


@pytest.mark.parametrize(
    ("acts", "snapshot", "units", "breach"),
    [
        ([*WHOLE, (NAMES[1], DO)], DONE, 0, "do reserve_inventory took effect 2 times"),
        (WHOLE[:-1], DONE, 0, "only this of it done"),
        ([*BACK[:-2], BACK[-1]], GONE, 0, "left of it: reserve_inventory"),
        ([*BACK, ("commit_inventory", UNDO)], GONE, 1, "never done: commit_inventory"),
        ([WHOLE[1], WHOLE[0], *WHOLE[2:]], DONE, 0, "done out of order"),
        ([*BACK[:4], BACK[5], BACK[4], *BACK[6:]], GONE, 1, "not in reverse"),
        ([*BACK[:3], *BACK[5:6], BACK[3], *BACK[4:5], *BACK[6:]], GONE, 1, "undoing had begun"),
        (WHOLE, GONE, 0, "its coordinator says compensated; by its effects it is completed"),
        (BACK, ObservedSaga(UNDONE, "failed"), 1, "by its effects it is compensated"),
        (WHOLE, DONE, 1, "of 1 units 1 are free and 1 taken"),
    ],
)
def test_breach_is_found(acts, snapshot, units, breach):
    assert breach in "\n".join(broken(acts, snapshot, units))


BOOKING = scenarios_of(SAGAS["booking"])[0]
APPROVED = Word("saga-1", "approve_booking", "manager", "yes")
PAID = [
    Word("saga-1", "pay_bill", "customer", "yes"),
    Word("saga-1", "pay_bill", "card_network", "yes"),
]


def decided(words, *done) -> list[str]:
    effects = {("saga-1", step, DO): [0.0] for step in done}
    return list(rules.decided(scenario=BOOKING, effects=effects, words=words))


def test_single_decision_breaks_nothing():
    assert decided([APPROVED, *PAID], "approve_booking", "pay_bill") == []
    assert decided([APPROVED._replace(word="overdue")]) == []
    assert decided([APPROVED, PAID[0], PAID[1]._replace(word="no")], "approve_booking") == []


@pytest.mark.parametrize(
    ("words", "done", "breach"),
    [
        ([APPROVED, APPROVED], ["approve_booking"], "approve_booking was decided more than once"),
        ([APPROVED._replace(word="withdrawn"), APPROVED], [], "was decided more than once"),
        ([PAID[0]._replace(word="overdue"), PAID[1]], [], "pay_bill was decided more than once"),
        ([], ["approve_booking"], "approve_booking was done, and it is undecided"),
        ([PAID[0]], ["pay_bill"], "pay_bill was done, and it is yes"),
        ([APPROVED._replace(word="no")], ["approve_booking"], "was done, and it is no"),
    ],
)
def test_breach_of_a_decision_is_found(words, done, breach):
    assert breach in "\n".join(decided(words, *done))


@pytest.mark.parametrize(
    ("before", "after", "may_return", "count"),
    [
        (ObservedSaga("accepted", ""), ObservedSaga("accepted", "running"), False, 0),
        (DONE, ObservedSaga(UNDONE, "compensated"), False, 2),
        (DONE, ObservedSaga(UNDONE, "compensated"), True, 0),
        (GONE, ObservedSaga(COMPLETED, "compensated"), True, 1),
        (ObservedSaga("accepted", "running"), ObservedSaga("accepted", "pending"), False, 1),
    ],
)
def test_status_never_goes_back(before, after, may_return, count):
    monotonicity = Monotonicity()
    list(monotonicity.breaches(now={"saga-1": before}, may_return=may_return))
    breaches = list(monotonicity.breaches(now={"saga-1": after}, may_return=may_return))
    assert len(breaches) == count


def test_every_saga_of_the_catalogue_is_an_environment_in_every_pattern():
    with in_memory() as made:
        assert set(made) == {
            f"{pattern}/{saga.name}/{scenario.name}"
            for pattern in PATTERNS
            for saga in SAGAS.values()
            for scenario in scenarios_of(saga)
        }
