"""Reads sagas: their states, in the form of all coordinators, and stalled sagas."""

from contracts.states import Complaint
from coordination.saga_log import SagaLog
from participant import sql
from saga_temporal.store import SERVICE

STALL_SECONDS = 30
"""A saga's row is not written for so long: more than a call and its repetition take."""
_LOG = SagaLog(service=SERVICE)
saga, state, state_of, summary_of = _LOG.saga, _LOG.state, _LOG.state_of, _LOG.summary_of
sagas, summaries, of_status = _LOG.sagas, _LOG.summaries, _LOG.of_status
parked, open_sagas = _LOG.parked, _LOG.open_sagas
_STALLS = """
    SELECT saga_id, current_step, updated_at FROM saga_temporal_saga
    WHERE finished_at IS NULL AND parked_at IS NULL AND waiting_since IS NULL
      AND updated_at < now() - make_interval(secs => %s)
    ORDER BY updated_at LIMIT 1000
"""


def stalls(*, limit: int) -> list[Complaint]:
    """Sagas that should move and don't: the worker or Temporal's server may be away, or have lost
    them.
    """
    rows = sql.execute(service=SERVICE, sql=_STALLS, values=[STALL_SECONDS])
    if not rows:
        return []
    named = ", ".join(f"{saga_id} at {step}" for saga_id, step, _ in rows[:limit])
    return [
        Complaint(
            what=f"{len(rows)} sagas on Temporal do not move: {named}",
            since=rows[0][2],
            do="see the worker and Temporal's server above; sagas that Temporal has lost are begun"
            " anew by themselves",
        )
    ]
