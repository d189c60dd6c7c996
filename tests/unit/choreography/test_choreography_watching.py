"""What the watchdog decides for a saga that stands still; time is a value here."""

from datetime import timedelta

from saga_choreography.store import Stage, Watched
from saga_choreography.watchdog import MOST_NUDGES, Move, Patience, decide
from tests.unit.choreography.made import NOON, context, seen, story

PATIENCE = Patience(nudge_seconds=10, saga_seconds=120)


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


def watched(stage: Stage = Stage.RUNNING, *, nudges: int = 0, nudged: float | None = None):
    return Watched(
        context=context("s"),
        stage=stage,
        started_at=NOON,
        nudges=nudges,
        nudged_at=None if nudged is None else after(nudged),
    )


def decided(one: Watched, at: float, *, name: str = "completed", until: int = 2):
    trail = [seen(event) for event in story(name)[:until]]
    return decide(watched=one, seen=trail, now=after(at), patience=PATIENCE)


def test_saga_that_moved_lately_is_waited_for():
    assert decided(watched(), at=10.5) == (Move.WAIT, after(11), 0)


def test_saga_that_stands_still_is_nudged_and_given_longer():
    assert decided(watched(), at=11) == (Move.NUDGE, after(31), 1)


def test_wait_between_nudges_grows_up_to_a_bound():
    waits = [PATIENCE.wait(nudges=n).total_seconds() for n in range(6)]
    assert waits == [10, 20, 30, 30, 30, 30]


def test_saga_that_moved_after_a_nudge_is_counted_afresh():
    moved = decided(watched(nudges=4, nudged=0.5), at=11)
    assert moved == (Move.NUDGE, after(31), 1)


def test_saga_past_its_deadline_is_aborted():
    assert decided(watched(nudges=3, nudged=110), at=120).move is Move.ABORT


def test_next_look_is_no_later_than_the_deadline():
    assert decided(watched(nudges=2, nudged=85), at=115).watch_at == after(120)


def test_abort_is_asked_for_once():
    late = decided(watched(), at=500, name="aborted", until=5)
    assert late.move is Move.NUDGE


def test_saga_past_its_pivot_is_nudged_and_never_aborted():
    assert decided(watched(), at=500, until=5).move is Move.NUDGE


def test_saga_on_its_way_back_is_nudged_and_never_aborted():
    late = decided(watched(Stage.COMPENSATING), at=500, name="declined", until=3)
    assert late.move is Move.NUDGE


def test_saga_that_no_nudge_moves_is_parked():
    tired = watched(Stage.COMPENSATING, nudges=MOST_NUDGES, nudged=200)
    assert decided(tired, at=230, name="declined", until=3) == (Move.PARK, None, MOST_NUDGES)


def test_saga_without_a_trail_is_counted_from_its_start():
    found = decide(watched=watched(), seen=[], now=after(10), patience=PATIENCE)
    assert found.move is Move.NUDGE
