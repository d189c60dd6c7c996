"""Decisions that steps wait for: the operations that wait, and giving a verdict and publishing its
events. People decide through doors and the admin (`coordination.decision_doors`), other systems
through a participant's own code, and the worker ends overdue decisions
(`coordination.decision_components`).

Nothing here names a service: its operations with a `decide` are the ones that wait.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module

from contracts import refusals
from contracts.outcomes import Outcome, Refused
from contracts.saga import CUSTOMER, SAGAS, Direction, find_step
from httpapi import problems
from messaging import outbox, wakeups
from messaging.handlers import Reaction
from messaging.reactions import emitted, of
from participant import barrier, decisions, operations
from participant.decisions import DecidedStep, GivenVerdict, RequestedDecision
from participant.operations import NO, YES, Operation

CHANNEL = "decisions"
"""The channel that wakes the component that tells the coordinator."""


@cache
def deciding(service: str) -> Mapping[str, Operation]:
    """The service's operations that wait for decisions, by action."""
    declared = operations.all_in(import_module(f"{service}.operations"))
    return {
        action: operation
        for (action, direction), operation in declared.items()
        if direction is Direction.DO and operation.decide
    }


@cache
def _reactions(service: str, sagas: tuple[str, ...]) -> Sequence[Reaction]:
    """The service's reactions. `sagas`: of the catalogue, from which they follow: a cache key."""
    return of(service=service, module=import_module(f"{service}.operations"))


def decide(
    *, service: str, action: str, given: Sequence[GivenVerdict], decided_by: str = ""
) -> list[DecidedStep]:
    """Gives these verdicts on steps of one operation, and publishes their events, in one
    transaction: see `participant.decisions.decide`. Then wakes the component that tells the
    coordinator.
    """

    def publish(decided: Sequence[DecidedStep]) -> None:
        reactions = _reactions(service, tuple(SAGAS))
        outbox.add(service=service, events=emitted(reactions=reactions, decided=decided))

    operation = deciding(service)[action]
    decided = decisions.decide(
        operation=operation, given=given, decided_by=decided_by, in_same_transaction=publish
    )
    if any(decision.fresh and not decision.asked.cause for decision in decided):
        wakeups.notify(service=service, channel=CHANNEL)
    return decided


def give(
    *, service: str, given: GivenVerdict, is_customer: bool = False
) -> tuple[RequestedDecision, Outcome]:
    """Gives a person's verdict; the decision after it, and the step's outcome. The same verdict
    again gets the same answer. `is_customer`: the person may say yes in place of the customer.

    Raises Problem: 404 if the step has never waited; 403 for a yes that only the customer may give;
    409 already_decided or decision_closed.
    """
    asked = decisions.find(service=service, saga_id=given.saga_id, step=given.step)
    if asked is None or asked.action not in deciding(service):
        raise problems.unknown("decision", f"{given.saga_id}/{given.step}")
    person = person_of(asked)
    if given.word == YES and person == CUSTOMER and not is_customer:
        detail = "Only its customer can say yes; operators can say no."
        raise problems.Problem(status=403, code="forbidden", detail=detail)
    if not asked.verdict and person:
        decide(service=service, action=asked.action, given=[given], decided_by=person)
        asked = decisions.find(service=service, saga_id=given.saga_id, step=given.step) or asked
    if asked.verdict != given.word:
        raise problems.refusal(_why_not(asked))
    known = barrier.stored(operation=deciding(service)[asked.action], keys=[asked.key])
    return asked, known[asked.key]


def person_of(asked: RequestedDecision) -> str:
    """The person who decides the step by its saga's definition; empty if no person does."""
    step = find_step(asked.saga, asked.step)
    return step.decided_by if step else ""


def _why_not(asked: RequestedDecision) -> Refused:
    if asked.verdict in (YES, NO):
        by = f" by {asked.by}" if asked.by else ""
        return Refused(refusals.ALREADY_DECIDED, f"It was decided{by}: {asked.verdict}.")
    if asked.verdict:
        detail = f"It is {asked.verdict}, and can't be decided any more."
        return Refused(refusals.DECISION_CLOSED, detail)
    detail = f"The {asked.decided_by} decides it, and no person."
    return Refused(refusals.DECISION_CLOSED, detail)
