"""Reads sagas: their states, in the form of all coordinators, and stalled sagas."""

from collections.abc import Sequence
from datetime import datetime

from contracts.states import Complaint
from coordination.saga_log import SagaLog
from participant import sql

STALL_SECONDS = 20
"""No saga moves for so long: more than a call and the take-over from a dead runner take."""
OVERTAKEN_SECONDS = 60
"""A saga does not move for so long, while sagas that were due later do."""
MOST_LOOKED_AT = 1000
"""As many as a runner has in flight: sagas that move are among the first that are due."""
_STALLS = f"""
    WITH due AS (
        SELECT saga_id, current_step, version, next_attempt_at, updated_at,
               greatest(next_attempt_at, updated_at) AS since
        FROM saga_orchestrator_saga WHERE next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT {MOST_LOOKED_AT}
    ), moving AS (
        SELECT max(next_attempt_at) AS until FROM due
        WHERE version > 0 AND updated_at >= now() - make_interval(secs => %s)
    )
    SELECT saga_id, since, current_step FROM due CROSS JOIN moving
    WHERE CASE WHEN next_attempt_at < until THEN since < now() - make_interval(secs => %s)
               WHEN until IS NULL THEN since < now() - make_interval(secs => %s) END
    ORDER BY since
"""
_NO_STEP = f"""
    WITH flying AS (
        SELECT saga_id, current_step, started_at,
               greatest(saga.started_at, (
                   SELECT max(greatest(step.finished_at, step.undone_at))
                   FROM saga_orchestrator_sagastep AS step WHERE step.saga_id = saga.saga_id
               )) AS moved_at
        FROM (SELECT saga_id, current_step, started_at FROM saga_orchestrator_saga
              WHERE next_attempt_at IS NOT NULL AND waiting_since IS NULL
              ORDER BY next_attempt_at LIMIT {MOST_LOOKED_AT}
        ) AS saga
    ), ended AS (
        SELECT max(finished_at) AS at FROM (
            SELECT finished_at FROM saga_orchestrator_saga
            ORDER BY started_at DESC, saga_id DESC LIMIT 200) AS newest
    )
    SELECT saga_id, moved_at, current_step FROM flying
    WHERE (SELECT max(moved_at) FROM flying) < now() - make_interval(secs => %s)
      AND coalesce((SELECT at FROM ended), '-infinity') < now() - make_interval(secs => %s)
    ORDER BY started_at
"""
_LOG = SagaLog(service="saga_orchestrator")
saga, state, state_of, summary_of = _LOG.saga, _LOG.state, _LOG.state_of, _LOG.summary_of
sagas, summaries, of_status = _LOG.sagas, _LOG.summaries, _LOG.of_status
parked, open_sagas = _LOG.parked, _LOG.open_sagas


def stalls(*, limit: int) -> list[Complaint]:
    """Sagas that should move and don't, found from their rows alone: their runner may be dead, get
    no wake-ups, or leave them to another.

    A queue that is worked off in order is no stall, however long it is.
    """
    values = [STALL_SECONDS, OVERTAKEN_SECONDS, STALL_SECONDS]
    rows = sql.execute(service="saga_orchestrator", sql=_STALLS, values=values)
    if rows:
        what = "orchestrated sagas are due and no runner moves them"
        do = (
            "see the worker above; if it lives, restart it (another run claims its sagas), or use"
            " compensate on each"
        )
        return [_stall(rows, limit, what=what, since=rows[0][1], do=do)]
    values = [STALL_SECONDS, STALL_SECONDS]
    rows = sql.execute(service="saga_orchestrator", sql=_NO_STEP, values=values)
    if rows:
        what = "orchestrated sagas are in flight and none has ended a step"
        do = "see which service these steps need, and fix it; the sagas then go on by themselves"
        return [_stall(rows, limit, what=what, since=max(row[1] for row in rows), do=do)]
    return []


def _stall(
    rows: Sequence[tuple[str, datetime, str]], limit: int, *, what: str, since: datetime, do: str
) -> Complaint:
    named = ", ".join(f"{saga_id} at {step}" for saga_id, _, step in rows[:limit])
    return Complaint(what=f"{len(rows)} {what}: {named}", since=since, do=do)
