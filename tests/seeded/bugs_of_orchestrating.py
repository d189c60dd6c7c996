"""Bugs in the orchestrator, and in handing over to it."""

import time
from unittest.mock import ANY

from carrito import operations as carrito
from carrito.models import Checkout
from contracts.saga import Direction
from contracts.states import SagaStatus
from coordination import engine
from coordination.engine import Fault, Transition
from coordination.handover import Handover
from saga_orchestrator import messages, store


def refusal_tried_again(patch) -> None:
    again = engine._after_fault
    patch.setattr(
        engine, "_after_refusal", lambda progress, no: again(progress, Fault(no.code), 0.5)
    )


def acceptance_not_undone(patch) -> None:
    backward = engine._backward
    patch.setattr(
        engine,
        "_backward",
        lambda progress, *, to, **rest: backward(progress, to=to if to > 0 else -1, **rest),
    )


def step_in_doubt_not_undone(patch) -> None:
    backward, give_up = engine._backward, engine._give_up

    def skips(progress, failure, *, calls):
        if progress.step.can(Direction.BLOCK):
            return give_up(progress, failure, calls=calls)
        return backward(progress, to=progress.position - 1, failure=failure, record=None)

    patch.setattr(engine, "_give_up", skips)


def pivot_in_doubt_taken_for_refused(patch) -> None:
    backward = engine._backward
    patch.setattr(
        engine,
        "_block",
        lambda progress, failure, *, calls: backward(
            progress, to=progress.position - 1, failure=failure, record=None
        ),
    )


def handed_over_before_answered(patch) -> None:
    hand_over = Handover._post

    def marked_first(self, contexts):
        self._sagas.mark_handed_over(saga_ids=[context.saga_id for context in contexts])
        return hand_over(self, contexts)

    patch.setattr(Handover, "_post", marked_first)


def saga_not_written(patch) -> None:
    """The coordinator answers, and has the saga only in memory."""
    patch.setattr(store, "start", lambda **given: [])


def transitions_not_written(patch) -> None:
    """The runner continues from its memory."""

    def remembered(*, transitions, **rest):
        now = time.time()
        return {saga.saga_id: now for saga, _ in transitions}

    patch.setattr(store, "record", remembered)


def parked_taken_for_ended(patch) -> None:
    patch.setattr(
        engine,
        "_park",
        lambda progress, reason: Transition(progress=progress, status=SagaStatus.COMPENSATED),
    )


def no_fence(patch) -> None:
    fenceless = store.RECORD.replace("AND saga.version = made.version", "")
    patch.setattr(store, "RECORD", fenceless)


def any_reply_counts(patch) -> None:
    """Also a reply that the saga no longer waits for. Comparing the amount paid with the amount due
    would find it: nothing does so here.
    """
    add, decide = carrito.store.add_orders, carrito.decide_order

    def added(*, ids, paid):
        due = dict(Checkout.objects.filter(pk__in=ids).values_list("pk", "total_amount"))
        return add(ids=ids, paid=due)

    patch.setattr(messages, "reply_to", lambda request: ANY)
    patch.setattr(carrito.store, "add_orders", added)
    patch.setattr(
        carrito, "decide_order", lambda **asked: decide(**{**asked, "paid": asked["due"]})
    )
