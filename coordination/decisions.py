"""Decisions that steps wait for: which operations wait, and a verdict, with what follows from it.
Doors and the admin give those of people (`coordination.decision_doors`), a participant's own code
those of others, and the worker ends what is overdue (`coordination.decision_components`).

Nothing here names a service: what it decides are its operations with a `decide`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module

from contracts import refusals
from contracts.outcomes import Outcome, Refused
from contracts.saga import CUSTOMER, SAGAS, Direction
from httpapi import problems
from messaging import outbox, wakeups
from messaging.reactions import Reaction, emitted, of
from participant import barrier, decisions, operations
from participant.decisions import DecidedStep, GivenVerdict, RequestedDecision
from participant.operations import NO, YES, Operation

CHANNEL = "decisions"
"""The channel that wakes who tells the coordinator."""


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
def _reactions(service: str, pages: tuple[str, ...]) -> Sequence[Reaction]:
    """The service's own. `pages`: of the catalogue, from which they follow."""
    return of(service=service, module=import_module(f"{service}.operations"))


def decide(
    *, service: str, action: str, given: Sequence[GivenVerdict], decided_by: str = ""
) -> list[DecidedStep]:
    """Ends the wait of these steps of one operation, and says what follows, in one transaction: as
    `participant.decisions.decide`. Then whoever must be told is.
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
    """A person's verdict: the decision as it stands now, and the step's outcome. The same verdict
    again: the same answer. `is_customer`: who gives it may say yes where the customer is asked.

    Raises Problem: 404 where the step has never asked; 403 for a yes that is the customer's to say;
    409 already_decided or decision_closed.
    """
    asked = decisions.find(service=service, saga_id=given.saga_id, step=given.step)
    if asked is None or asked.action not in deciding(service):
        raise problems.unknown("decision", f"{given.saga_id}/{given.step}")
    person = person_of(asked)
    if given.word == YES and person == CUSTOMER and not is_customer:
        detail = "Its customer says yes; those who run the shop may say no."
        raise problems.Problem(status=403, code="forbidden", detail=detail)
    if not asked.verdict and person:
        decide(service=service, action=asked.action, given=[given], decided_by=person)
        asked = decisions.find(service=service, saga_id=given.saga_id, step=given.step) or asked
    if asked.verdict != given.word:
        raise problems.refusal(_why_not(asked))
    known = barrier.stored(operation=deciding(service)[asked.action], keys=[asked.key])
    return asked, known[asked.key]


def person_of(asked: RequestedDecision) -> str:
    """Who decides the step by its saga's page; empty where no person does."""
    page = SAGAS.get(asked.saga)
    named = [step for step in page.steps if step.name == asked.step] if page else []
    return named[0].decided_by if named else ""


def _why_not(asked: RequestedDecision) -> Refused:
    if asked.verdict in (YES, NO):
        by = f" by {asked.by}" if asked.by else ""
        return Refused(refusals.ALREADY_DECIDED, f"It was decided{by}: {asked.verdict}.")
    if asked.verdict:
        return Refused(refusals.DECISION_CLOSED, f"It is {asked.verdict}: nobody decides it now.")
    return Refused(refusals.DECISION_CLOSED, f"No person decides it, but the {asked.decided_by}.")
