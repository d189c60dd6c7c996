"""The watchdog's decisions for stalled sagas; time is a value here."""

from datetime import timedelta

import msgspec

from saga_choreography.store import SagaPhase, TrackedEvent, Wait, WatchedSaga
from saga_choreography.watchdog import MOST_REDRIVES, Patience, Remedy, decide
from tests.unit.choreography.made import NOON, context, seen, story

PATIENCE = Patience(redrive_seconds=10, saga_seconds=120)


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


def watched(
    phase: SagaPhase = SagaPhase.RUNNING,
    *,
    redrives: int = 0,
    redriven: float | None = None,
    wait: Wait | None = None,
):
    return WatchedSaga(
        context=context("s"),
        phase=phase,
        started_at=NOON,
        redrives=redrives,
        redriven_at=None if redriven is None else after(redriven),
        wait=wait,
    )


def decided(saga: WatchedSaga, at: float, *, name: str = "completed", until: int = 2):
    trail = [seen(event) for event in story(name)[:until]]
    return decide(watched=saga, seen=trail, now=after(at), patience=PATIENCE)


def test_saga_that_moved_lately_is_given_time():
    assert decided(watched(), at=10.5) == (Remedy.WAIT, after(11), 0)


def test_stalled_saga_is_redriven_and_given_longer():
    assert decided(watched(), at=11) == (Remedy.REDRIVE, after(31), 1)


def test_wait_between_redrives_grows_up_to_a_bound():
    waits = [PATIENCE.wait(redrives=n).total_seconds() for n in range(6)]
    assert waits == [10, 20, 30, 30, 30, 30]


def test_saga_that_moved_after_a_redrive_is_counted_afresh():
    moved = decided(watched(redrives=4, redriven=0.5), at=11)
    assert moved == (Remedy.REDRIVE, after(31), 1)


def test_saga_past_its_deadline_is_aborted():
    assert decided(watched(redrives=3, redriven=110), at=120).remedy is Remedy.ABORT


def test_next_look_is_no_later_than_the_deadline():
    assert decided(watched(redrives=2, redriven=85), at=115).watch_at == after(120)


def test_abort_is_asked_for_once():
    late = decided(watched(), at=500, name="aborted", until=5)
    assert late.remedy is Remedy.REDRIVE


def test_saga_past_its_pivot_is_redriven_and_never_aborted():
    assert decided(watched(), at=500, until=5).remedy is Remedy.REDRIVE


def test_saga_on_its_way_back_is_redriven_and_never_aborted():
    late = decided(watched(SagaPhase.COMPENSATING), at=500, name="declined", until=3)
    assert late.remedy is Remedy.REDRIVE


def test_saga_that_no_redrive_moves_is_parked():
    tired = watched(SagaPhase.COMPENSATING, redrives=MOST_REDRIVES, redriven=200)
    assert decided(tired, at=230, name="declined", until=3) == (Remedy.PARK, None, MOST_REDRIVES)


def test_saga_without_a_trail_is_counted_from_its_start():
    decision = decide(watched=watched(), seen=[], now=after(10), patience=PATIENCE)
    assert decision.remedy is Remedy.REDRIVE


def payment(*, since: float, until: float, waited: float = 0.0) -> Wait:
    return Wait(
        step="process_payment",
        decided_by="customer",
        since=after(since),
        until=after(until),
        waited_seconds=waited,
    )


def decided_at(seconds: float) -> list[TrackedEvent]:
    """A trail up to the payment, which was decided then."""
    *before, paid = [seen(event) for event in story("completed")[:3]]
    return [*before, msgspec.structs.replace(paid, seen_at=after(seconds))]


def test_saga_that_waits_is_left_alone_until_that_must_be_overdue():
    saga = watched(redrives=3, wait=payment(since=2, until=900))
    assert decided(saga, at=500) == (Remedy.WAIT, after(905), 0)


def test_saga_whose_service_ended_nothing_in_time_is_redriven():
    saga = watched(wait=payment(since=2, until=900))
    assert decided(saga, at=906).remedy is Remedy.REDRIVE


def test_time_of_a_decision_is_not_of_the_sagas_own():
    saga = watched(wait=payment(since=2, until=900))
    trail = decided_at(500)
    assert (
        decide(watched=saga, seen=trail, now=after(600), patience=PATIENCE).remedy is Remedy.REDRIVE
    )
    assert (
        decide(watched=saga, seen=trail, now=after(619), patience=PATIENCE).remedy is Remedy.ABORT
    )


def test_time_of_an_earlier_decision_counts_no_more_than_the_last():
    saga = watched(wait=payment(since=60, until=900, waited=50.0))
    trail = decided_at(70)
    assert (
        decide(watched=saga, seen=trail, now=after(179), patience=PATIENCE).remedy is Remedy.REDRIVE
    )
    assert (
        decide(watched=saga, seen=trail, now=after(181), patience=PATIENCE).remedy is Remedy.ABORT
    )


def test_saga_whose_end_was_asked_for_is_not_left_alone():
    saga = watched(wait=payment(since=2, until=900))
    trail = [seen(event) for event in [*story("completed")[:2], story("aborted")[4]]]
    assert (
        decide(watched=saga, seen=trail, now=after(100), patience=PATIENCE).remedy is Remedy.REDRIVE
    )
