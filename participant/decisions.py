"""Decisions that steps wait for, and the only way in which a decision is given.

A step that waits has a row in the barrier (`waiting`) and one in the table of decisions. Whatever
ends the wait (a yes, a no, its timeout, an undo, a block) takes the lock of the barrier's row
first; all others then find the row closed.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction

from contracts import refusals
from contracts.outcomes import Outcome, Refused, Waiting, word_of
from contracts.saga import SAGAS
from contracts.states import Awaited
from participant import barrier, failpoints, metrics, sql, tracing
from participant.barrier import Key
from participant.operations import OVERDUE, WITHDRAWN, Operation, Verdict
from participant.sql import Damaged

MOST_DUE = 100
"""Overdue decisions in one transaction, which holds its locks for some tenths of a second."""


class RequestedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table: a step that waits or has waited. `command`, `cause`: as received."""

    saga_id: str
    step: str
    saga: str
    action: str
    decided_by: str
    opened_at: datetime
    until: datetime
    command: str
    cause: str
    verdict: str
    by: str
    reason: str
    closed_at: datetime | None
    is_over: bool

    @property
    def key(self) -> Key:
        return self.saga_id, self.step


@dataclass(frozen=True, kw_only=True)
class GivenVerdict:
    """A verdict on a step. `word`: yes, no, overdue or withdrawn."""

    saga_id: str
    step: str
    word: str
    by: str = ""
    reason: str = ""
    data: Mapping[str, Any] | None = None

    @property
    def key(self) -> Key:
        return self.saga_id, self.step


@dataclass(frozen=True, kw_only=True)
class DecidedStep:
    """A step after a decision. `fresh`: this decision took effect; else the outcome is an earlier
    one. `traceparent`: of the decision, if the saga's trace is recorded.
    """

    asked: RequestedDecision
    outcome: Outcome
    fresh: bool
    traceparent: str = ""


InSameTransaction = Callable[[Sequence[DecidedStep]], None]
"""What a door adds to the same transaction: the events of the steps that are decided now."""

System = Callable[[Collection[Key]], bool]
"""Asks an external system to decide these steps, after the commit of their wait; whether that may
have changed their outcomes. False: another thread asks it."""
_systems: dict[str, tuple[str, System]] = {}


def asked_of(*, service: str, decided_by: str, system: System) -> None:
    """Registers `system`: this process asks it for each step of the service that waits for it."""
    _systems[service] = decided_by, system


def pursue(*, service: str, outcomes: Mapping[Key, Outcome]) -> bool:
    """Asks the external system for those of these steps that wait for it; whether it was asked."""
    decided_by, system = _systems.get(service, ("", None))
    waiting = [
        key
        for key, outcome in outcomes.items()
        if isinstance(outcome, Waiting) and outcome.decided_by == decided_by
    ]
    return bool(system and waiting and system(waiting))


def reckoned(*, operation: Operation, outcomes: Mapping[Key, Outcome]) -> dict[Key, Outcome]:
    """The outcomes, each Waiting with its `until`, by the database's clock."""
    if not any(isinstance(outcome, Waiting) for outcome in outcomes.values()):
        return dict(outcomes)
    now = sql.now(service=operation.service)
    return {
        key: Waiting(outcome.decided_by, until=now + timedelta(seconds=outcome.seconds))
        if isinstance(outcome, Waiting)
        else outcome
        for key, outcome in outcomes.items()
    }


def ask(
    *,
    operation: Operation,
    commands: Mapping[Key, Any],
    outcomes: Mapping[Key, Outcome],
    cause: Mapping[Key, str],
) -> None:
    """Inserts a decision for each command that waits. `cause`: the message that requested it."""
    waiting = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Waiting)}
    if not waiting:
        return
    sql.execute(
        service=operation.service,
        sql=f"""
            INSERT INTO {operation.service}_decision
                   (saga_id, step, saga, action, decided_by, until, command, cause)
            SELECT saga_id, step, saga, action, decided_by, until, command, cause
            FROM json_to_recordset(%s) AS v (saga_id text, step text, saga text, action text,
                 decided_by text, until timestamptz, command jsonb, cause text)
            ORDER BY saga_id, step
            """,
        values=[
            sql.rows(
                {
                    "saga_id": key[0],
                    "step": key[1],
                    "saga": commands[key].saga,
                    "action": operation.action,
                    "decided_by": outcome.decided_by,
                    "until": outcome.until,
                    "command": commands[key],
                    "cause": cause.get(key, ""),
                }
                for key, outcome in waiting.items()
            )
        ],
    )


def withdraw(*, operation: Operation, keys: Collection[Key]) -> None:
    """Closes the decisions of these steps: an undo or a block has closed their barrier rows."""
    if keys:
        found = _read(operation, keys)
        verdicts = {key: GivenVerdict(saga_id=key[0], step=key[1], word=WITHDRAWN) for key in found}
        _run(operation, found, verdicts)
        _close(operation, {key: Refused(refusals.ABORTED) for key in found}, verdicts)


def decide(
    *,
    operation: Operation,
    given: Sequence[GivenVerdict],
    decided_by: str = "",
    in_same_transaction: InSameTransaction | None = None,
) -> list[DecidedStep]:
    """Applies the verdicts to the steps that still wait, and calls `in_same_transaction`.

    One transaction. Returns a `DecidedStep` for each of the steps that has ever waited, sorted by
    saga and step. `decided_by`: who gives these verdicts; steps that wait for another decision by
    now are left unchanged. A step whose time is over is overdue, whatever the verdict; the verdict
    overdue changes no step that still has time.
    """
    since = time.time_ns()
    with transaction.atomic(using=operation.service):
        decided = _decide(operation, {verdict.key: verdict for verdict in given}, decided_by)
        fresh, begun = _traced(operation, [step for step in decided if step.fresh], since)
        if in_same_transaction:
            in_same_transaction(fresh)
        failpoints.reach("decisions.before_commit", operation)
    begun.end()
    failpoints.reach("decisions.after_commit", operation)
    for decision in fresh:
        word = word_of(decision.outcome)
        metrics.count(metrics.STEPS, decision.asked.saga, decision.asked.step, "do", word)
    pursue(
        service=operation.service,
        outcomes={decision.asked.key: decision.outcome for decision in decided},
    )
    return decided


def _traced(
    operation: Operation, fresh: Sequence[DecidedStep], since: int
) -> tuple[Sequence[DecidedStep], tracing.Begun]:
    """Begins a span for each, in the trace of the step's command."""
    if not tracing.is_on():
        return fresh, tracing.Begun({})
    asked = [msgspec.json.decode(step.asked.command, type=tracing.Cause) for step in fresh]
    name = f"decide {operation.full_name}"
    causes, begun = tracing.begin(name, asked, kind="server", since=since)
    begun.note(fresh, lambda step: word_of(step.outcome))
    return [
        replace(step, traceparent=cause.traceparent)
        for step, cause in zip(fresh, causes, strict=True)
    ], begun


def _decide(
    operation: Operation, given: Mapping[Key, GivenVerdict], decided_by: str
) -> list[DecidedStep]:
    waiting = barrier.lock_waiting(operation=operation, keys=given.keys())
    found = _read(operation, given.keys())
    due = {
        key: verdict
        for key in sorted(waiting.keys() & found.keys())
        if (verdict := _due(found[key], given[key], waiting[key][1].decided_by, decided_by))
    }
    ran = _run(operation, found, due) if due else {}
    outcomes = reckoned(operation=operation, outcomes=ran)
    barrier.record(
        operation=operation,
        outcomes={waiting[key][0]: outcome for key, outcome in outcomes.items()},
    )
    _close(operation, outcomes, due)
    known = barrier.stored(operation=operation, keys=found.keys() - outcomes.keys())
    for key in found.keys() - outcomes.keys() - known.keys():
        raise Damaged(f"The decision on {key[1]} of saga {key[0]} has no entry in the barrier.")
    return [
        DecidedStep(
            asked=asked,
            outcome=outcomes.get(key) or known[key],
            fresh=key in outcomes,
        )
        for key, asked in sorted(found.items())
    ]


def _due(
    asked: RequestedDecision, given: GivenVerdict, waits_for: str, decided_by: str
) -> GivenVerdict | None:
    """The verdict that takes effect on a step that waits; None if it continues to wait."""
    if asked.is_over:
        return GivenVerdict(saga_id=asked.saga_id, step=asked.step, word=OVERDUE)
    if given.word == OVERDUE or (decided_by and decided_by != waits_for):
        return None
    return given


def _run(
    operation: Operation, found: Mapping[Key, RequestedDecision], given: Mapping[Key, GivenVerdict]
) -> dict[Key, Outcome]:
    doing = operation.doing
    assert doing.decide is not None  # noqa: S101 -- only such operations have rows here
    verdicts = [
        Verdict(
            step=key[1],
            command=msgspec.json.decode(found[key].command, type=doing.command),
            word=verdict.word,
            decided_by=found[key].decided_by,
            by=verdict.by,
            reason=verdict.reason,
            data=verdict.data or {},
        )
        for key, verdict in given.items()
    ]
    return dict(zip(given, doing.decide(verdicts), strict=True))


def _close(
    operation: Operation, outcomes: Mapping[Key, Outcome], given: Mapping[Key, GivenVerdict]
) -> None:
    """Stores the verdicts; a step that now waits for another decision stays open. The first verdict
    of a step stays stored: the answer of the card network does not replace the customer's.
    """
    sql.execute(
        service=operation.service,
        sql=f"""
            UPDATE {operation.service}_decision AS decision
            SET verdict = CASE decision.verdict WHEN '' THEN v.word ELSE verdict END,
                by = CASE decision.verdict WHEN '' THEN v.by ELSE decision.by END,
                reason = CASE decision.verdict WHEN '' THEN v.reason ELSE decision.reason END,
                data = CASE decision.verdict WHEN '' THEN v.data ELSE decision.data END,
                decided_at = coalesce(decided_at, clock_timestamp()),
                decided_by = coalesce(v.decided_by, decision.decided_by),
                until = coalesce(v.until, decision.until),
                closed_at = CASE WHEN v.until IS NULL THEN clock_timestamp() END,
                is_to_be_told = is_to_be_told AND v.word <> 'withdrawn'
            FROM json_to_recordset(%s) AS v (saga_id text, step text, word text, by text,
                 reason text, data jsonb, decided_by text, until timestamptz)
            WHERE decision.saga_id = v.saga_id AND decision.step = v.step
            """,
        values=[sql.rows(_closing(given[key], outcome) for key, outcome in outcomes.items())],
    )


def _closing(given: GivenVerdict, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {
        "saga_id": given.saga_id,
        "step": given.step,
        "word": given.word,
        "by": given.by,
        "reason": given.reason,
        "data": given.data or {},
    }
    if isinstance(outcome, Waiting):
        row |= {"decided_by": outcome.decided_by, "until": outcome.until}
    return row


_COLUMNS = """
    saga_id, step, saga, action, decided_by, opened_at, until, command::text, cause, verdict, by,
    reason, closed_at, until <= clock_timestamp()
"""


def _read(operation: Operation, keys: Collection[Key]) -> dict[Key, RequestedDecision]:
    rows = sql.execute(
        service=operation.service,
        sql=f"""
            SELECT {_COLUMNS} FROM json_to_recordset(%s) AS v (saga_id text, step text)
            JOIN {operation.service}_decision AS decision USING (saga_id, step)
            """,
        values=[sql.rows({"saga_id": key[0], "step": key[1]} for key in sorted(keys))],
    )
    return {(row[0], row[1]): _asked(row) for row in rows}


def _asked(row: tuple[Any, ...]) -> RequestedDecision:
    return RequestedDecision(**dict(zip(RequestedDecision.__struct_fields__, row, strict=True)))


def url_of(*, service: str, saga_id: str, step: str) -> str:
    """The URL to POST a decision to."""
    return f"{settings.SERVICE_URLS[service]}/decisions/{saga_id}/{step}"


def awaited(
    *, saga: str, saga_id: str, step: str, decided_by: str, since: datetime, until: datetime
) -> Awaited:
    """The decision that a saga waits for, as its coordinator shows it."""
    service = SAGAS[saga].step(step).service
    url = url_of(service=service, saga_id=saga_id, step=step)
    return Awaited(step=step, decided_by=decided_by, since=since, until=until, url=url)


def find(*, service: str, saga_id: str, step: str) -> RequestedDecision | None:
    """The decision on this step, if it has ever waited."""
    rows = sql.execute(
        service=service,
        sql=f"SELECT {_COLUMNS} FROM {service}_decision WHERE saga_id = %s AND step = %s",
        values=[saga_id, step],
    )
    return _asked(rows[0]) if rows else None


def overdue(*, service: str, but_not: Sequence[str] = ()) -> list[RequestedDecision]:
    """At most MOST_DUE open decisions whose time is over, the oldest first; without these sagas."""
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT {_COLUMNS} FROM {service}_decision
            WHERE closed_at IS NULL AND until <= statement_timestamp() AND saga_id <> ALL(%s)
            ORDER BY until LIMIT %s
            """,
        values=[list(but_not), MOST_DUE],
    )
    return [_asked(row) for row in rows]


def untold(*, service: str, limit: int) -> list[Key]:
    """The closed decisions that the coordinator has not been told of, the oldest first."""
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT saga_id, step FROM {service}_decision
            WHERE closed_at IS NOT NULL AND is_to_be_told ORDER BY closed_at LIMIT %s
            """,
        values=[limit],
    )
    return [(saga_id, step) for saga_id, step in rows]


def mark_told(*, service: str, keys: Collection[Key]) -> None:
    """Records that the coordinator has been told of these decisions."""
    sql.execute(
        service=service,
        sql=f"""
            UPDATE {service}_decision AS decision SET is_to_be_told = false
            FROM json_to_recordset(%s) AS v (saga_id text, step text)
            WHERE decision.saga_id = v.saga_id AND decision.step = v.step
            """,
        values=[sql.rows({"saga_id": key[0], "step": key[1]} for key in keys)],
    )


def promise(*, service: str, keys: Collection[Key]) -> None:
    """Records that the coordinator, which asked over HTTP, is to be told of these decisions."""
    sql.execute(
        service=service,
        sql=f"""
            UPDATE {service}_decision AS decision SET is_to_be_told = true
            FROM json_to_recordset(%s) AS v (saga_id text, step text)
            WHERE decision.saga_id = v.saga_id AND decision.step = v.step
              AND saga <> '' AND NOT is_to_be_told AND verdict <> 'withdrawn'
            """,
        values=[sql.rows({"saga_id": key[0], "step": key[1]} for key in keys)],
    )
