"""Properties of every saga, whatever services answer, in whatever order."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.outcomes import Done
from contracts.saga import Direction
from contracts.states import SagaStatus
from coordination import engine
from coordination.engine import Progress
from tests.unit.orchestrator.progresses import LAST, PIVOT, STEPS, World, run

WISHES = ["done", "refused", "lost", "fault", "held"]
scripts = st.lists(st.sampled_from(WISHES), max_size=60)


def scripted(wishes):
    """Answers by the script, then always done."""
    remaining = iter(wishes)
    return lambda progress: next(remaining, "done")


@given(scripts)
def test_every_saga_ends_or_parks(wishes):
    transition, _ = run(World(scripted(wishes)), Progress(steps=STEPS, position=1))
    assert transition.status in {
        SagaStatus.COMPLETED,
        SagaStatus.COMPENSATED,
        SagaStatus.FAILED,
        SagaStatus.PARKED,
    }


@given(scripts)
def test_completed_has_done_every_step_and_undone_none(wishes):
    world = World(scripted(wishes))
    transition, _ = run(world, Progress(steps=STEPS, position=1))
    if transition.status is SagaStatus.COMPLETED:
        assert world.effects == [(Direction.DO, position) for position in range(LAST + 1)]


@given(scripts)
def test_undone_saga_has_no_effect_left(wishes):
    world = World(scripted(wishes))
    transition, _ = run(world, Progress(steps=STEPS, position=1))
    if transition.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        done = [position for direction, position in world.effects if direction is Direction.DO]
        undone = [position for direction, position in world.effects if direction is Direction.UNDO]
        assert undone == done[::-1]


@given(scripts)
def test_nothing_is_undone_once_the_pivot_has_happened(wishes):
    world = World(scripted(wishes))
    run(world, Progress(steps=STEPS, position=1))
    if (Direction.DO, PIVOT) in world.effects:
        assert all(direction is Direction.DO for direction, _ in world.effects)


@given(scripts)
def test_undos_run_in_reverse_for_exactly_the_steps_done_or_in_doubt(wishes):
    transition, replies = run(World(scripted(wishes)), Progress(steps=STEPS, position=1))
    undos = [
        reply.position
        for reply in replies
        if reply.direction is Direction.UNDO and isinstance(reply.answer, Done)
    ]
    assert undos == sorted(set(undos), reverse=True)
    if transition.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        refused = {
            reply.position
            for reply in replies
            if reply.direction is not Direction.UNDO and type(reply.answer).__name__ == "Refused"
        }
        reached = {reply.position for reply in replies if reply.direction is not Direction.UNDO}
        assert undos == sorted((reached - refused) | {0}, reverse=True)


@given(scripts, st.integers(0, 20))
def test_interrupted_anywhere_it_still_leaves_all_or_nothing(wishes, when):
    """A stop between any two calls, by a takeover or a person."""
    world = World(scripted(wishes))
    progress = Progress(steps=STEPS, position=1)
    for _ in range(when):
        transition = engine.after(progress=progress, answer=world.call(progress), draw=0.5)
        if transition.status.is_final or transition.status is SagaStatus.PARKED:
            return
        progress = transition.progress
    turned = engine.interrupt(progress=progress, code="stopped", detail="")
    transition, _ = run(world, turned.progress if turned else progress)
    if transition.status is SagaStatus.COMPLETED:
        assert len(world.effects) == LAST + 1
    if transition.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        assert sum(1 if d is Direction.DO else -1 for d, _ in world.effects) == 0


@given(scripts)
def test_parked_saga_ends_once_it_is_retried_and_answered(wishes):
    world = World(scripted(wishes))
    transition, _ = run(world, Progress(steps=STEPS, position=1))
    if transition.status is SagaStatus.PARKED:
        again, _ = run(
            World(lambda progress: "done"), engine.retry(progress=transition.progress).progress
        )
        assert again.status.is_final
