"""Steps that wait for a decision, from the services' tables of decisions; and their rules (groups
3, 6 and 7).

A saga may wait for a person until the time of its decision, however long that is: like a parked
saga, it does not count as unfinished.
"""

from collections.abc import Iterator
from typing import NamedTuple

from django.apps import apps

from catalogue import SAGAS
from catalogue.services import PARTICIPANTS
from loadtests.audit.evidence import EntryRow, Evidence, RowSource
from loadtests.audit.reading import everywhere

YES, WITHDRAWN = "yes", "withdrawn"
"""Verdicts, as they are stored."""
GRACE_SECONDS = 10.0
"""A sweep ends overdue decisions once a second, a hundred at a time."""


class StepDecision(NamedTuple):
    """`decided_by`: who is asked, or was asked last; `left`: seconds until it is overdue.
    `verdict`: the first that was given, or empty; `is_untold`: it is closed, but the waiting
    coordinator has not been notified.
    """

    saga_id: str
    service: str
    saga: str
    step: str
    decided_by: str
    left: float
    verdict: str
    is_closed: bool
    is_untold: bool

    @property
    def waits_for_a_person(self) -> bool:
        """Whether it is not overdue (but for a grace), and asks whom the definition names."""
        if self.is_closed or self.left < -GRACE_SECONDS or self.saga not in SAGAS:
            return False
        named = {step.name: step.decided_by for step in SAGAS[self.saga].steps}
        return named.get(self.step) == self.decided_by


_DECISIONS = """
    SELECT saga_id, '{service}' AS service, saga, step, decided_by,
           extract(epoch FROM until - clock_timestamp())::float8 AS seconds, verdict,
           closed_at IS NOT NULL AS is_closed, closed_at IS NOT NULL AND is_to_be_told AS is_untold
    FROM {service}_decision
"""
_OPEN = f"SELECT * FROM ({_DECISIONS}) AS asked WHERE NOT is_closed"
_UNTOLD = f"SELECT * FROM ({_DECISIONS}) AS asked WHERE is_untold ORDER BY saga_id"


def deciding() -> list[str]:
    """The services whose steps can wait."""
    return [
        participant
        for participant in PARTICIPANTS
        if "decision" in apps.get_app_config(participant).models
    ]


def sources() -> list[RowSource]:
    """The tables of decisions."""
    return [
        RowSource(service, StepDecision, _DECISIONS.format(service=service))
        for service in deciding()
    ]


def of(saga: Evidence) -> StepDecision | None:
    """The decision that the saga waits for, if it waits for a person."""
    return next(
        (decision for decision in saga.of(StepDecision) if decision.waits_for_a_person), None
    )


def sagas() -> set[str]:
    """The ids of the sagas that wait for a person now."""
    found = [StepDecision(*row[1:]) for row in everywhere(services=deciding(), statement=_OPEN)]
    return {decision.saga_id for decision in found if decision.waits_for_a_person}


def untold() -> Iterator[tuple[int, str, str]]:
    """7: decisions of which the waiting coordinator was not notified."""
    for row in everywhere(services=deciding(), statement=_UNTOLD):
        decision = StepDecision(*row[1:])
        what = f"no coordinator was told that {decision.step} is decided ({decision.service})"
        yield 7, decision.saga_id, what


def overdue(saga: Evidence) -> Iterator[str]:
    """3: no decision is overdue."""
    for decision in saga.of(StepDecision):
        if not decision.is_closed and decision.left < -GRACE_SECONDS:
            seconds = f"{-decision.left:.0f} s"
            yield f"{decision.step} asks the {decision.decided_by}, overdue for {seconds}"


def decided(saga: Evidence) -> Iterator[str]:
    """6: the barrier and the decisions agree on each step."""
    asked = {decision.step: decision for decision in saga.of(StepDecision)}
    entries = {entry.step: entry for entry in saga.entries if entry.direction == "do"}
    for step, entry in entries.items():
        if entry.status == "waiting" and step not in asked:
            yield f"{step} waits, and no decision is open"
    for step, decision in asked.items():
        if step not in entries:
            yield f"{step} has asked the {decision.decided_by}, and was never begun"
        else:
            yield from _disagreeing(decision, entries[step])


def _disagreeing(asked: StepDecision, entry: EntryRow) -> Iterator[str]:
    is_waiting = entry.status == "waiting"
    if asked.is_closed and is_waiting:
        yield f"{asked.step} is decided ({asked.verdict or 'nothing'}), and still waits"
    if not asked.is_closed and not is_waiting:
        yield f"{asked.step} is {entry.status}, and still asks the {asked.decided_by}"
    if asked.is_closed and entry.status == "done" and asked.verdict != YES:
        yield f"{asked.step} was done, and its decision is {asked.verdict or 'missing'}"
    if asked.verdict == WITHDRAWN and entry.code != "aborted":
        yield f"{asked.step} was withdrawn, and is {entry.status} {entry.code}".rstrip()
