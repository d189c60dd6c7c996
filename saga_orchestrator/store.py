"""All SQL of the hot path: starts, claims, moves and releases sagas, a batch in one statement.

A batch is one JSON parameter: psycopg writes arrays element by element in Python, which takes ten
times as long as msgspec. Times are the database's: the clocks of runners may differ.

Each statement is a transaction of its own, unless one is open. Versions are only compared for
equality, and wrap around long before their column overflows: no row fails a whole batch.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import msgspec
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from contracts.outcomes import Failure
from contracts.saga import Context, Direction, Saga, Step
from contracts.states import FINAL, SagaStatus
from coordination import engine, saga_log
from coordination.engine import Progress, StepRecord, Transition
from participant import sql
from saga_orchestrator.in_flight import Call, ClaimedSaga, ClaimedUnreadable

log = logging.getLogger(__name__)

ALIAS = "saga_orchestrator"
CHANNEL = "runner"  # wakes a runner
OVERDUE_SECONDS = 5.0
"""A service ends its overdue steps by itself; after so long without its outcome it is called."""
SILENT_SECONDS = 3.0
"""A runner that has not renewed its lease for so long has lost its sagas."""
_NONE: Mapping[str, float] = MappingProxyType({})


@receiver(connection_created)
def claim_in_order(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Adds to the settings of `participant.databases`, so that a plan made while the tables were
    empty stays good: a claim reads the due sagas in order, it does not sort them all. JIT is off
    because these settings make plans look expensive (compiling them cost 190 ms a saga). The
    dashboard claims no sagas.
    """
    if connection.alias == ALIAS and getattr(settings, "SERVICE", "") != "dashboard":
        with connection.cursor() as cursor:
            cursor.execute(SESSION)


def undo_all(*, saga: Saga, context: Context, detail: str) -> bool:
    """Starts to undo a saga whose row can't be read, from its last step that has an undo. Returns
    False if it was undone already. `context` replaces the saga's own.
    """
    steps, digest = sql.as_json(saga.steps), saga_log.digest_of(saga)
    last = max(at for at, step in enumerate(saga.steps) if step.can(Direction.UNDO))
    name = saga.steps[last].name
    row = [saga.name, digest, sql.as_json(context), last, name, name, detail, context.saga_id]
    return bool(_rows(UNDO_ALL, [digest, saga.name, steps, *row]))


def start(*, saga: Saga, contexts: Sequence[Context], seconds: float) -> list[str]:
    """Writes the sagas that are not known yet; returns their ids.

    `seconds`: the time until a saga that has not passed its pivot is undone.
    """
    return saga_log.start(service=ALIAS, saga=saga, contexts=contexts, seconds=seconds)


def renew(*, runner_id: int | None, host: str, pid: int) -> tuple[int, int]:
    """Renews the runner's lease; returns its id (new for None) and how many sagas are parked."""
    return _rows(RENEW, [runner_id, host, pid])[0][:2]


def claim(
    *, runner_id: int, limit: int, in_flight: Sequence[str] = (), but: Sequence[Call] = ()
) -> list[ClaimedSaga | ClaimedUnreadable]:
    """Claims sagas that are due and that no living runner has in flight, the longest due first.

    `in_flight`: the sagas that this runner has; other due sagas whose row names it are claimed
    again. `but`: calls whose sagas are left alone.
    """
    values = [*claimable(runner_id=runner_id, in_flight=in_flight, but=but), limit, runner_id]
    return [_read(*row) for row in _rows(CLAIM, values)]


def claimable(*, runner_id: int, in_flight: Sequence[str], but: Sequence[Call]) -> list[Any]:
    """The values of `CLAIMABLE`."""
    return [runner_id, sql.as_json(in_flight), SILENT_SECONDS, [" ".join(call) for call in but]]


def lock(*, saga_ids: Collection[str]) -> list[ClaimedSaga | ClaimedUnreadable]:
    """The sagas found, their rows locked until the open transaction ends."""
    return [_read(*row) for row in _rows(LOCK, [sorted(saga_ids)])]


def record(
    *,
    transitions: Iterable[tuple[ClaimedSaga, Transition]],
    patience: Mapping[str, float] = _NONE,
    is_in_flight: bool = False,
) -> dict[str, float]:
    """Writes the transitions: the sagas, and what is now known of their steps, in one statement.

    `patience`: by saga id, the seconds to wait for the reply of a next call that goes out as a
    message. `is_in_flight`: the caller makes the next calls itself, and keeps the sagas.
    Returns when each was written, in epoch seconds. A saga that is missing there was moved by
    another process since it was read; nothing was written of it.
    """
    moved = [
        _row(saga, made, patience.get(saga.saga_id), is_in_flight) for saga, made in transitions
    ]
    return dict(_rows(RECORD, [sql.as_json(moved)]))


def park(*, unreadable: ClaimedUnreadable) -> None:
    """Parks a row that cannot be run, for an operator."""
    _rows(PARK, [unreadable.reason, unreadable.saga_id, unreadable.version])


def request_stop(*, saga_id: str) -> None:
    """Asks the saga's runner to turn it back; a waiting saga is due at once.

    Fences off transitions of a process that has not seen the request.
    """
    _rows(REQUEST_STOP, [saga_id])


def decided(*, steps: Iterable[tuple[str, str]]) -> int:
    """Makes due the sagas that wait at these steps (saga id, step), decided now, and those that a
    runner has: it may be about to write that they wait. Returns how many.
    """
    return len(
        _rows(DECIDED, [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in steps)])
    )


def release(*, runner_id: int) -> None:
    """Fences off what the runner may still do with its sagas; others may claim them once it is
    deleted (`forget_runner`).
    """
    _rows(RELEASE, [runner_id])


def forget_sagas(*, saga_ids: Sequence[str], seconds: float) -> set[str]:
    """Deletes the sagas that ended more than `seconds` ago, with their steps; returns the ids left.
    A saga of which an operator skipped a step stays, as evidence.
    """
    return saga_log.forget_sagas(service=ALIAS, saga_ids=saga_ids, seconds=seconds)


def forget_runner(*, runner_id: int) -> None:
    """Deletes a runner that has stopped."""
    _rows(FORGET_RUNNER, [runner_id])


def close() -> None:
    """Closes this thread's connection; the next statement makes a new one."""
    connections[ALIAS].close()


def _row(
    saga: ClaimedSaga, transition: Transition, patience: float | None, is_in_flight: bool
) -> dict[str, Any]:
    """The transition as JSON; fields that are left out are null in SQL."""
    progress = transition.progress
    ended = transition.status in FINAL
    row: dict[str, Any] = {
        "saga_id": saga.saga_id,
        "version": saga.version,
        "status": transition.status,
        "position": progress.position,
        "current_step": "" if ended else progress.step.name,
        "direction": progress.direction,
        "faults": progress.faults,
        "reached": progress.reached,
        "kept": transition.goes_on and is_in_flight,
        "ended": ended,
        "parked": transition.status is SagaStatus.PARKED,
        "seconds": transition.seconds,
    }
    if patience is not None:
        row["asked"] = True
        row["seconds"] = patience
    if transition.reason:
        row["reason"] = transition.reason
    if transition.waits:
        row["decided_by"] = transition.waits.decided_by
        row["until"] = transition.waits.until
    if progress.failure:
        failure = msgspec.structs.asdict(progress.failure)
        row |= {f"failure_{name}": value for name, value in failure.items()}
    steps = [_step_row(progress.steps, *taken) for taken in saga.unwritten]
    context = saga.context
    if transition.record:
        steps.append(_step_row(progress.steps, transition.record, saga.entered))
        context = saga.context_after(transition)
    if steps:
        row["steps"] = steps
    if saga.has_grown or context is not saga.context:
        row["results"] = context.results
    return row


def _step_row(
    steps: Sequence[Step], known: StepRecord, entered: float, ended: float | None = None
) -> dict[str, Any]:
    """`ended`: when the step ended, in epoch seconds; None for now."""
    fields = msgspec.structs.asdict(known)
    result = fields.pop("result")
    data = result.data if result else None
    name = steps[known.position].name
    return {**fields, "name": name, "data": data, "entered": entered, "ended": ended}


def _read(*row: Any) -> ClaimedSaga | ClaimedUnreadable:
    """A row that was edited into no saga any more must not stop the others."""
    try:
        return _in_flight(*row)
    except (msgspec.MsgspecError, ValueError, RecursionError, sql.Damaged) as error:
        log.warning("not readable: %r", error, extra={"saga_id": row[0]})
        reason = f"not readable here: {sql.category(error)}"
        return ClaimedUnreadable(saga_id=row[0], version=row[2], reason=reason)


def _in_flight(*row: Any) -> ClaimedSaga:
    saga_id, name, version, status, definition, context, position, direction, faults, *rest = row
    reached, step, code, detail, undone, stop_requested, deadline, entered, waited, held = rest
    about = _context.decode(context)
    steps = _steps(definition)
    if (about.saga, about.saga_id) != (name, saga_id):
        raise sql.Damaged(f"its context is that of the {about.saga} {about.saga_id}")
    if not 0 <= position < len(steps):
        raise sql.Damaged(f"it stands at step {position} of {len(steps)}")
    if direction not in set(Direction):
        raise sql.Damaged(f"there is no direction {direction!r}")
    if position and not steps[position].can(Direction(direction)):
        raise sql.Damaged(f"its step {steps[position].name} has no {direction}")
    failure = Failure(step, code, detail, undone) if code else None
    progress = Progress(
        steps=steps,
        position=position,
        direction=Direction(direction),
        faults=faults,
        failure=failure,
        reached=reached,
    )
    return ClaimedSaga(
        saga_id=saga_id,
        name=name,
        version=version,
        status=SagaStatus(status),
        context=about,
        progress=engine.in_doubt(progress=progress) if held else progress,
        stop_requested=stop_requested,
        deadline=deadline,
        entered=entered,
        waited=waited,
    )


_context = msgspec.json.Decoder(Context)


@cache
def _steps(digest: str) -> tuple[Step, ...]:
    rows = _rows(STEPS, [digest])
    if not rows:
        raise msgspec.ValidationError(f"there is no definition {digest}")
    return msgspec.json.decode(rows[0][0], type=tuple[Step, ...])


def _rows(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return sql.execute(service=ALIAS, sql=statement, values=values)


_READ = """
    saga.saga_id, saga.name, saga.version, saga.status, definition_id, context::text, position,
    direction, faults, reached, failure_step, failure_code, failure_detail, failure_undone,
    stop_requested_at IS NOT NULL,
    extract(epoch FROM deadline_at - coalesce(waiting_since, now()))::float8,
    extract(epoch FROM coalesce(asked_at, updated_at))::float8,
    extract(epoch FROM now() - asked_at)::float8
"""

SESSION = """
    SELECT set_config(name, 'off', false)
    FROM unnest('{enable_bitmapscan, enable_sort}'::text[]) AS name
"""

STEPS = "SELECT steps::text FROM saga_orchestrator_definition WHERE digest = %s"

RENEW = """
    INSERT INTO saga_orchestrator_runner (id, host, pid)
    VALUES (coalesce(%s::bigint, nextval('saga_orchestrator_runner_id_seq')), %s, %s)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()
    RETURNING id, (SELECT count(*) FROM saga_orchestrator_saga WHERE parked_at IS NOT NULL)
"""

# The sagas that a runner may claim. Values: the runner, its sagas in flight (JSON),
# SILENT_SECONDS, and the calls for which it wants no further sagas.
# The living runners are an array, not a join: a row that another runner has claimed meanwhile is
# checked again when it is locked, but only against the row itself.
# A row belongs to its runner only while that runner has it in flight: this runner lists its own.
CLAIMABLE = """
    next_attempt_at <= now() AND CASE
        WHEN runner_id IS NULL THEN true
        WHEN runner_id = %s THEN saga_id NOT IN (SELECT json_array_elements_text(%s))
        ELSE runner_id <> ALL (ARRAY(
            SELECT id FROM saga_orchestrator_runner
            WHERE seen_at > now() - make_interval(secs => %s)))
    END AND current_step || ' ' || direction <> ALL (%s::text[])
"""

CLAIM = f"""
    WITH due AS (
        SELECT saga_id, runner_id IS NOT NULL AS was_held
        FROM saga_orchestrator_saga WHERE {CLAIMABLE}
        ORDER BY next_attempt_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE saga_orchestrator_saga AS saga
    SET runner_id = %s, version = mod(version, 2000000000) + 1, updated_at = clock_timestamp(),
        status = CASE status WHEN 'pending' THEN 'running' ELSE status END
    FROM due WHERE saga.saga_id = due.saga_id
    RETURNING {_READ}, was_held
"""

LOCK = f"""
    SELECT {_READ}, false FROM saga_orchestrator_saga AS saga
    WHERE saga_id = ANY(%s) ORDER BY saga_id FOR NO KEY UPDATE
"""

# Three parts: the transitions (`made`), the sagas still at the version that they were decided on
# (`moved`; another process has moved the others, which are left out from here on), and the records
# of the steps that were called (`logged`). `%s` is a list of `_row`s.
RECORD = f"""
    WITH made AS (
        SELECT * FROM json_to_recordset(%s::json) AS v (
            saga_id text, version int, status text, position smallint, current_step text,
            direction text, faults int, reached smallint, kept bool, asked bool, ended bool,
            parked bool, seconds float8, failure_step text, failure_code text, failure_detail text,
            failure_undone bool, reason text, decided_by text, until timestamptz,
            steps json, results jsonb)
    ), moved AS (
        UPDATE saga_orchestrator_saga AS saga
        SET context = CASE WHEN made.results IS NULL THEN saga.context
                           ELSE jsonb_set(saga.context, '{{results}}', made.results) END,
            status = made.status, position = made.position, current_step = made.current_step,
            direction = made.direction, faults = made.faults, reached = made.reached,
            version = mod(saga.version, 2000000000) + 1,
            failure_step = coalesce(made.failure_step, ''),
            failure_code = coalesce(made.failure_code, ''),
            failure_detail = coalesce(made.failure_detail, ''),
            failure_undone = coalesce(made.failure_undone, false),
            -- Its runner keeps a saga that goes on; any runner may claim another when it is due.
            runner_id = CASE WHEN made.kept THEN runner_id END,
            -- When it is due: never again; once its decision must be overdue; after a pause or the
            -- time for a reply; or at once: then the column keeps its value, and PostgreSQL need
            -- not touch its index (a heap-only update).
            next_attempt_at = CASE WHEN made.ended OR made.parked THEN NULL
                                   WHEN made.until IS NOT NULL
                                   THEN greatest(made.until, clock_timestamp())
                                        + make_interval(secs => {OVERDUE_SECONDS})
                                   WHEN made.seconds > 0
                                   THEN clock_timestamp() + make_interval(secs => made.seconds)
                                   ELSE least(next_attempt_at, now()) END,
            asked_at = CASE WHEN made.asked THEN clock_timestamp() END,
            parked_at = CASE WHEN made.parked THEN now() END,
            parked_reason = coalesce(made.reason, ''),
            -- Waiting for a decision does not count towards the deadline.
            deadline_at = CASE WHEN made.until IS NULL AND waiting_since IS NOT NULL
                               THEN deadline_at + (clock_timestamp() - waiting_since)
                               ELSE deadline_at END,
            waiting_since = CASE WHEN made.until IS NOT NULL
                                 THEN coalesce(waiting_since, clock_timestamp()) END,
            waiting_until = made.until, waiting_for = coalesce(made.decided_by, ''),
            updated_at = clock_timestamp(),
            finished_at = CASE WHEN made.ended THEN clock_timestamp() END
        FROM made WHERE saga.saga_id = made.saga_id AND saga.version = made.version
        RETURNING saga.saga_id, extract(epoch FROM updated_at)::float8 AS moved_at, made.steps
    ), logged AS (
        INSERT INTO saga_orchestrator_sagastep AS step
               (saga_id, position, name, status, do_attempts, undo_attempts, error,
                response_data, started_at, finished_at, undone_at)
        SELECT saga_id, taken.position, taken.name,
               -- No status: the step keeps its own, or has never happened (an undo that found
               -- nothing to undo).
               coalesce(taken.status,
                        (SELECT status FROM saga_orchestrator_sagastep AS known
                         WHERE known.saga_id = moved.saga_id AND known.position = taken.position),
                        CASE taken.position WHEN 0 THEN 'completed' ELSE 'skipped' END),
               taken."do", undo, error, coalesce(data, '{{}}'), to_timestamp(entered),
               CASE WHEN taken.status IN ('completed', 'failed', 'skipped')
                    THEN coalesce(to_timestamp(ended), clock_timestamp()) END,
               CASE WHEN taken.status = 'compensated' THEN clock_timestamp() END
        FROM moved, json_to_recordset(moved.steps) AS taken (
            position smallint, name text, status text, "do" int, undo int, error text, data jsonb,
            entered float8, ended float8)
        -- A step has one row, for its calls in both directions: counts add up, times are the first.
        ON CONFLICT (saga_id, position) DO UPDATE
        SET status = excluded.status,
            do_attempts = step.do_attempts + excluded.do_attempts,
            undo_attempts = step.undo_attempts + excluded.undo_attempts,
            error = coalesce(nullif(excluded.error, ''), step.error),
            response_data = CASE WHEN excluded.response_data = '{{}}' THEN step.response_data
                                 ELSE excluded.response_data END,
            finished_at = coalesce(step.finished_at, excluded.finished_at),
            undone_at = coalesce(step.undone_at, excluded.undone_at)
    )
    SELECT saga_id, moved_at FROM moved
"""

PARK = """
    UPDATE saga_orchestrator_saga
    SET status = 'parked', parked_at = now(), parked_reason = %s, next_attempt_at = NULL,
        runner_id = NULL, version = mod(version, 2000000000) + 1, updated_at = clock_timestamp()
    WHERE saga_id = %s AND version = %s
"""

# Whatever the row holds, undoes from the last step that has an undo. The barriers know which steps
# have happened, and block the others.
UNDO_ALL = """
    WITH defined AS (
        INSERT INTO saga_orchestrator_definition AS known (digest, name, steps)
        VALUES (%s, %s, %s::jsonb)
        ON CONFLICT (digest) DO UPDATE SET name = excluded.name, steps = excluded.steps
    )
    UPDATE saga_orchestrator_saga
    SET name = %s, definition_id = %s, context = %s::jsonb, position = %s, current_step = %s,
        direction = 'undo', status = 'compensating', faults = 0,
        failure_step = %s, failure_code = 'stopped', failure_detail = %s, failure_undone = false,
        stop_requested_at = now(), asked_at = NULL, deadline_at = now(), finished_at = NULL,
        waiting_since = NULL, waiting_until = NULL, waiting_for = '',
        parked_at = NULL, parked_reason = '', next_attempt_at = now(), runner_id = NULL,
        updated_at = now(), version = mod(version, 2000000000) + 1
    WHERE saga_id = %s AND status NOT IN ('compensated', 'failed')
    RETURNING saga_id
"""

REQUEST_STOP = """
    UPDATE saga_orchestrator_saga
    SET stop_requested_at = coalesce(stop_requested_at, now()),
        version = mod(version, 2000000000) + 1,
        next_attempt_at = least(next_attempt_at, now())
    WHERE saga_id = %s
"""

# A saga that a runner has may be further than its row says.
DECIDED = """
    WITH due AS (
        SELECT saga.saga_id FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN saga_orchestrator_saga AS saga
          ON saga.saga_id = v.saga_id AND (current_step = step OR runner_id IS NOT NULL)
        WHERE next_attempt_at IS NOT NULL AND direction = 'do' ORDER BY 1 FOR NO KEY UPDATE OF saga
    )
    UPDATE saga_orchestrator_saga AS saga
    SET version = mod(version, 2000000000) + 1, next_attempt_at = least(next_attempt_at, now())
    FROM due WHERE saga.saga_id = due.saga_id
    RETURNING saga.saga_id
"""

# `runner_id` stays: the runner may have gone further than the row says.
RELEASE = """
    UPDATE saga_orchestrator_saga SET version = mod(version, 2000000000) + 1
    WHERE runner_id = %s AND next_attempt_at IS NOT NULL
"""

FORGET_RUNNER = "DELETE FROM saga_orchestrator_runner WHERE id = %s"
