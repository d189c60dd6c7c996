"""All SQL of saga_temporal: starts sagas, writes their workflows' progress, and finds what is still
to be sent to them. Times are the database's.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from contracts.saga import Context, Saga
from coordination import saga_log
from participant import sql

SERVICE = "saga_temporal"
CHANNEL = "courier"
"""The channel that wakes the courier."""
LOST_VERSIONS = 2
"""By how much the version of a saga grows that is begun anew: its old workflow may write one more.
"""


class StoredSaga(NamedTuple):
    """A saga's row. `seconds`: until its deadline."""

    saga_id: str
    status: str
    context: str
    steps: str
    position: int
    direction: str
    failure_step: str
    failure_code: str
    failure_detail: str
    failure_undone: bool
    version: int
    seconds: float
    is_stopped: bool
    is_begun: bool


class AskedOf(NamedTuple):
    """An intervention that is still to be sent to the saga's workflow."""

    id: int
    saga_id: str
    action: str
    reason: str
    version: int


def start(*, saga: Saga, contexts: Sequence[Context], seconds: float) -> list[str]:
    """Writes the sagas that are not known yet; returns their ids (`saga_log`)."""
    return saga_log.start(service=SERVICE, saga=saga, contexts=contexts, seconds=seconds)


def write(row: dict[str, Any]) -> bool:
    """Writes a workflow's row of its saga and the saga's steps. A row that was written already
    stays as it is. False: the stored row is newer.
    """
    if _rows(_WRITE, [sql.as_json(row)]):
        return True
    is_known = "SELECT 1 FROM saga_temporal_saga WHERE saga_id = %s AND version = %s"
    return bool(_rows(is_known, [row["saga_id"], row["version"]]))


def not_begun(*, limit: int, most: int) -> list[StoredSaga]:
    """Sagas that are to be begun on Temporal, oldest first; as many as there is room for below
    `most`, not counting waiting and parked sagas.
    """
    statement = f"{_READ} WHERE begun_at IS NULL ORDER BY started_at LIMIT ({_ROOM})"
    return [StoredSaga(*row) for row in _rows(statement, [limit, most])]


def take_lost(*, limit: int, seconds: float) -> list[StoredSaga]:
    """Takes sagas that should move, but whose rows were not written for so long beyond the time of
    the call that is due; each at most once in that time. Fences off what their workflows still
    write.
    """
    found = [row[0] for row in _rows(_TAKE_LOST, [seconds, limit])]
    return [StoredSaga(*row) for row in _rows(f"{_READ} WHERE saga_id = ANY(%s)", [found])]


def asked_before(saga: StoredSaga) -> AskedOf | None:
    """The intervention that was requested of a lost saga before it was taken."""
    found = _rows(_ASKED_BEFORE, [saga.saga_id, saga.version - LOST_VERSIONS])
    return AskedOf(*found[0]) if found else None


def find(saga_id: str) -> StoredSaga | None:
    found = _rows(f"{_READ} WHERE saga_id = %s", [saga_id])
    return StoredSaga(*found[0]) if found else None


def mark_begun(saga_ids: Iterable[str]) -> None:
    """Marks sagas that are on Temporal."""
    _rows(
        "UPDATE saga_temporal_saga SET begun_at = coalesce(begun_at, now())"
        " WHERE saga_id = ANY(%s)",
        [list(saga_ids)],
    )


def not_told(*, limit: int) -> list[AskedOf]:
    """Interventions to be sent, in their order, of sagas that are on Temporal."""
    return [AskedOf(*row) for row in _rows(_NOT_TOLD, [limit])]


def mark_told(ids: Iterable[int]) -> None:
    """Marks interventions as sent."""
    _rows("UPDATE saga_temporal_intervention SET told_at = now() WHERE id = ANY(%s)", [list(ids)])


def decided(*, steps: Sequence[tuple[str, str]]) -> int:
    """Records decided steps (saga id, step) of open sagas, to be sent; returns how many."""
    values = [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in steps)]
    return len(_rows(_DECIDED, values))


def decisions(*, limit: int) -> list[tuple[str, str]]:
    """Decided steps to be sent: saga id and step."""
    statement = """
        SELECT saga_id, decided_step FROM saga_temporal_saga
        WHERE decided_step <> '' AND begun_at IS NOT NULL ORDER BY saga_id LIMIT %s
    """
    return [(saga_id, step) for saga_id, step in _rows(statement, [limit])]


def mark_decided(steps: Sequence[tuple[str, str]]) -> None:
    """Marks decided steps as sent."""
    values = [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in steps)]
    _rows(_DECIDED_TOLD, values)


def forget_sagas(*, saga_ids: Sequence[str], seconds: float) -> set[str]:
    """Deletes the sagas that ended more than `seconds` ago; returns the ids left (`saga_log`)."""
    return saga_log.forget_sagas(service=SERVICE, saga_ids=saga_ids, seconds=seconds)


def now() -> datetime:
    return sql.now(service=SERVICE)


def _rows(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return sql.execute(service=SERVICE, sql=statement, values=values)


_READ = """
    SELECT saga_id, status, context::text, steps::text, position, direction, failure_step,
           failure_code, failure_detail, failure_undone, version,
           extract(epoch FROM deadline_at - now())::float8, stop_requested_at IS NOT NULL,
           begun_at IS NOT NULL
    FROM saga_temporal_saga AS saga
    JOIN saga_temporal_definition AS definition ON definition.digest = saga.definition_id
"""

_ROOM = """
    SELECT greatest(0, least(%s::bigint, %s::bigint - count(*))) FROM saga_temporal_saga
    WHERE finished_at IS NULL AND begun_at IS NOT NULL AND parked_at IS NULL
      AND waiting_since IS NULL
      -- A saga that Temporal has lost takes no place.
      AND greatest(updated_at, begun_at) > now() - interval '60 seconds'
"""

_TAKE_LOST = f"""
    WITH lost AS (
        SELECT saga_id FROM saga_temporal_saga AS saga
        JOIN saga_temporal_definition AS definition ON definition.digest = saga.definition_id
        WHERE finished_at IS NULL AND begun_at IS NOT NULL AND parked_at IS NULL
          AND greatest(updated_at, begun_at, waiting_until) < now() - make_interval(
              secs => %s + coalesce((steps -> position ->> 'seconds')::float8, 0))
        ORDER BY started_at LIMIT %s FOR NO KEY UPDATE OF saga SKIP LOCKED
    )
    UPDATE saga_temporal_saga AS saga SET begun_at = now(), version = version + {LOST_VERSIONS}
    FROM lost WHERE saga.saga_id = lost.saga_id
    RETURNING saga.saga_id
"""

_ASKED_BEFORE = """
    SELECT id, saga_id, action, reason, version FROM saga_temporal_intervention
    WHERE saga_id = %s AND version = %s ORDER BY id DESC LIMIT 1
"""

_NOT_TOLD = """
    SELECT asked.id, saga_id, action, reason, asked.version
    FROM saga_temporal_intervention AS asked JOIN saga_temporal_saga USING (saga_id)
    WHERE told_at IS NULL AND begun_at IS NOT NULL ORDER BY asked.id LIMIT %s
"""

# Two parts: where the saga stands, unless the row is newer (`moved`), and the records of the steps
# that were called (`logged`).
_WRITE = """
    WITH made AS (
        SELECT * FROM json_to_record(%s::json) AS v (
            saga_id text, version int, status text, position smallint, current_step text,
            direction text, ended bool, parked bool, failure_step text, failure_code text,
            failure_detail text, failure_undone bool, reason text, decided_by text,
            until timestamptz, steps json, results jsonb)
    ), moved AS (
        UPDATE saga_temporal_saga AS saga
        SET status = made.status, position = made.position, current_step = made.current_step,
            direction = made.direction, version = made.version,
            begun_at = coalesce(begun_at, now()),
            context = CASE WHEN made.results IS NULL THEN saga.context
                           ELSE jsonb_set(saga.context, '{results}', made.results) END,
            failure_step = coalesce(made.failure_step, ''),
            failure_code = coalesce(made.failure_code, ''),
            failure_detail = coalesce(made.failure_detail, ''),
            failure_undone = coalesce(made.failure_undone, false),
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
        FROM made WHERE saga.saga_id = made.saga_id AND saga.version < made.version
        RETURNING saga.saga_id, made.steps
    ), logged AS (
        INSERT INTO saga_temporal_sagastep AS step
               (saga_id, position, name, status, do_attempts, undo_attempts, error, response_data,
                started_at, finished_at, undone_at)
        SELECT saga_id, taken.position, taken.name,
               coalesce(taken.status,
                        (SELECT status FROM saga_temporal_sagastep AS known
                         WHERE known.saga_id = moved.saga_id AND known.position = taken.position),
                        CASE taken.position WHEN 0 THEN 'completed' ELSE 'skipped' END),
               taken."do", undo, error, coalesce(data, '{}'), to_timestamp(entered),
               CASE WHEN taken.status IN ('completed', 'failed', 'skipped')
                    THEN to_timestamp(ended) END,
               CASE WHEN taken.status = 'compensated' THEN to_timestamp(ended) END
        FROM moved, json_to_recordset(moved.steps) AS taken (
            position smallint, name text, status text, "do" int, undo int, error text, data jsonb,
            entered float8, ended float8)
        ON CONFLICT (saga_id, position) DO UPDATE
        SET status = excluded.status,
            do_attempts = step.do_attempts + excluded.do_attempts,
            undo_attempts = step.undo_attempts + excluded.undo_attempts,
            error = coalesce(nullif(excluded.error, ''), step.error),
            response_data = CASE WHEN excluded.response_data = '{}' THEN step.response_data
                                 ELSE excluded.response_data END,
            finished_at = coalesce(step.finished_at, excluded.finished_at),
            undone_at = coalesce(step.undone_at, excluded.undone_at)
    )
    SELECT 1 FROM moved
"""

_DECIDED = """
    UPDATE saga_temporal_saga AS saga SET decided_step = step
    FROM json_to_recordset(%s) AS v (saga_id text, step text)
    WHERE saga.saga_id = v.saga_id AND finished_at IS NULL
    RETURNING saga.saga_id
"""

_DECIDED_TOLD = """
    UPDATE saga_temporal_saga AS saga SET decided_step = ''
    FROM json_to_recordset(%s) AS v (saga_id text, step text)
    WHERE saga.saga_id = v.saga_id AND decided_step = step
"""
