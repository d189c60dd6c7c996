"""The rows of choreographed sagas, and all SQL of tracking and of the watchdog: one statement for a
whole batch.

Order of locks: new sagas by id, then sagas by id, then the trail's rows; the watchdog skips rows
that are locked.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple, cast

import msgspec

from contracts.outcomes import Described, Failure
from contracts.saga import SAGAS, Context
from contracts.states import FINAL, SagaStatus
from participant import sql

SERVICE = "saga_choreography"


class SagaPhase(IntEnum):
    """How far a saga has come. It only ever grows, so late and doubled events change nothing."""

    RUNNING = 0
    COMPENSATING = 1
    COMPLETED = 2
    RETURNING = 3
    ENDED = 4


class EventBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event carried beside the saga's frozen context. `results`: those of earlier steps in
    its context; the reaction to a redriven event needs them again.
    """

    result: Mapping[str, Any] = {}
    failure: Failure | None = None
    results: dict[str, dict[str, Any]] = {}


class TrackedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a saga, as it was first seen."""

    saga_id: str
    event_type: str
    event_id: str
    cause_id: str
    requested_at: datetime | None
    occurred_at: datetime
    seen_at: datetime
    data: EventBody


class PhaseChange(msgspec.Struct, frozen=True, kw_only=True):
    """A saga's row at a new phase. `watch_at`: None once the watchdog need not check it."""

    saga_id: str
    phase: SagaPhase
    status: str
    failure_step: str
    failure_code: str
    failure_detail: str
    finished_at: datetime | None
    watch_at: datetime | None


class Locked(NamedTuple):
    """A saga's row while it is locked. `phase`: None if the row holds an unknown one. `is_stopped`:
    a person requested its undo, and was promised it.
    """

    phase: SagaPhase | None
    is_stopped: bool = False


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """The last step that has waited for a decision: since when, and until when. `waited_seconds`:
    how long the saga had waited for earlier decisions.
    """

    step: str
    decided_by: str
    since: datetime
    until: datetime
    waited_seconds: float = 0.0


class WatchedSaga(msgspec.Struct, frozen=True, kw_only=True):
    """A saga whose row is locked for the watchdog or an operation. `is_stopped`: as in `Locked`;
    `failure`: why it goes backward; `wait`: None if no step has waited.
    """

    context: Context
    phase: SagaPhase
    started_at: datetime
    redrives: int
    redriven_at: datetime | None
    status: SagaStatus = SagaStatus.RUNNING
    is_stopped: bool = False
    failure: Failure | None = None
    parked_step: str = ""
    parked_reason: str = ""
    wait: Wait | None = None

    @property
    def saga_id(self) -> str:
        return self.context.saga_id


class WatchdogUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchdog decided for a claimed saga."""

    saga_id: str
    watch_at: datetime | None = None
    redrives: int = 0
    redriven_at: datetime | None = None
    parked_at: datetime | None = None
    parked_step: str = ""
    parked_reason: str = ""


class Stop(NamedTuple):
    """The person who requested a running saga's undo, and the reason."""

    requested_by: str
    reason: str


class UnreadableSaga(Described):
    """The stored saga can't be read: its rows were edited, or its definition has left the
    catalogue.
    """

    def __init__(self, saga_id: str, what: str) -> None:
        super().__init__(f"What is stored of {saga_id} can't be read: {what}")


Trails = Mapping[str, list[TrackedEvent]]
"""By saga id, each in the order in which its events occurred."""

_PHASES = frozenset(SagaPhase)
_STORED = TrackedEvent.__struct_fields__
_COLUMNS = ", ".join([*_STORED[:-1], "data::text"])
_event_body = msgspec.json.Decoder(EventBody)
_context = msgspec.json.Decoder(Context)


def _read(saga_id: str, saga: str, phase: int, context: str) -> Context:
    """The context of a saga's row with these values. Raises UnreadableSaga."""
    if saga not in SAGAS:
        raise UnreadableSaga(saga_id, f"there is no saga {saga!r}")
    if phase not in _PHASES:
        raise UnreadableSaga(saga_id, f"there is no phase {phase}")
    try:
        found = _context.decode(context)
    except msgspec.MsgspecError as error:
        raise UnreadableSaga(saga_id, f"its context: {error}") from error
    if (found.saga, found.saga_id) != (saga, saga_id):
        raise UnreadableSaga(saga_id, f"its context is of the {found.saga} {found.saga_id}")
    return found


def now() -> datetime:
    """The database's clock, by which all times here go: the hosts' clocks may differ."""
    ((found,),) = _execute("SELECT clock_timestamp()")
    return cast(datetime, found)


def names(*, saga_ids: Iterable[str]) -> dict[str, str]:
    """The sagas' names by id; sagas that are not known here are missing."""
    return dict(
        _execute(
            "SELECT saga_id, saga FROM saga_choreography_saga WHERE saga_id = ANY(%s)",
            list(saga_ids),
        )
    )


def add_sagas(*, contexts: Sequence[Context], started_at: datetime, watch_at: datetime) -> None:
    """Writes the sagas; a saga that another process has written meanwhile stays as it is."""
    _execute(
        """
        INSERT INTO saga_choreography_saga
               (saga_id, saga, subject, user_id, context, status, phase, started_at, watch_at)
        SELECT saga_id, saga, subject, user_id, context, 'running', 0, %s, %s
        FROM json_to_recordset(%s)
             AS v (saga_id text, saga text, subject text, user_id text, context jsonb)
        ORDER BY saga_id
        ON CONFLICT (saga_id) DO NOTHING
        """,
        started_at,
        watch_at,
        sql.rows(
            {
                "saga_id": context.saga_id,
                "saga": context.saga,
                "subject": context.subject,
                "user_id": context.user_id,
                "context": context,
            }
            for context in contexts
        ),
    )


def add_events(*, events: Sequence[TrackedEvent], watch_at: datetime) -> None:
    """Writes the events that were not seen before. A new event un-parks its saga, and has the
    watchdog check a saga again that was left alone (`leave_alone`).
    """
    ordered = sorted(events, key=lambda event: (event.saga_id, event.event_type))
    _execute(
        """
        WITH new AS (
            INSERT INTO saga_choreography_sagaevent
                   (saga_id, event_type, event_id, cause_id, requested_at, occurred_at, seen_at,
                    data)
            SELECT * FROM json_to_recordset(%s)
                AS v (saga_id text, event_type text, event_id text, cause_id text,
                      requested_at timestamptz, occurred_at timestamptz, seen_at timestamptz,
                      data jsonb)
            ON CONFLICT (saga_id, event_type) DO NOTHING
            RETURNING saga_id
        )
        UPDATE saga_choreography_saga
        SET status = CASE WHEN status <> 'parked' THEN status
                          WHEN phase = 0 THEN 'running' ELSE 'compensating' END,
            parked_at = NULL, parked_step = '', parked_reason = '', redrives = 0, watch_at = %s
        WHERE (status = 'parked' OR watch_at > %s) AND saga_id IN (SELECT saga_id FROM new)
        """,
        sql.as_json(ordered),
        watch_at,
        watch_at,
    )


def lock_phases(*, saga_ids: Iterable[str]) -> dict[str, Locked]:
    """Locks the sagas found; returns their phases by id.

    Whether a person has stopped a saga is in its row, not in another table: after waiting for the
    lock the statement reads the row afresh, but other tables as they were before.
    """
    rows = _execute(
        """
        SELECT saga_id, phase, stop_requested_at IS NOT NULL FROM saga_choreography_saga
        WHERE saga_id = ANY(%s) ORDER BY saga_id FOR NO KEY UPDATE
        """,
        sorted(saga_ids),
    )
    return {
        row[0]: Locked(SagaPhase(row[1]) if row[1] in _PHASES else None, is_stopped=row[2])
        for row in rows
    }


def stop(*, saga_ids: Iterable[str], at: datetime) -> None:
    """Records that a person was promised the undo of these locked sagas."""
    _execute(
        "UPDATE saga_choreography_saga SET stop_requested_at = %s WHERE saga_id = ANY(%s)",
        at,
        list(saga_ids),
    )


def stops(*, saga_ids: Iterable[str]) -> dict[str, Stop]:
    """Who requested the undo of each of these stopped sagas."""
    rows = _execute(
        """
        SELECT DISTINCT ON (saga_id) saga_id, requested_by, reason
        FROM saga_choreography_intervention WHERE saga_id = ANY(%s) AND action = 'abort'
        ORDER BY saga_id, id DESC
        """,
        list(saga_ids),
    )
    return {row[0]: Stop(row[1], row[2]) for row in rows}


def change_phases(*, changes: Sequence[PhaseChange]) -> None:
    """Brings locked sagas to their new phase."""
    _execute(
        """
        UPDATE saga_choreography_saga AS saga
        SET phase = v.phase, status = v.status, failure_step = v.failure_step,
            failure_code = v.failure_code, failure_detail = v.failure_detail,
            finished_at = v.finished_at, watch_at = v.watch_at, redrives = 0
        FROM json_to_recordset(%s)
             AS v (saga_id text, phase int, status text, failure_step text, failure_code text,
                   failure_detail text, finished_at timestamptz, watch_at timestamptz)
        WHERE saga.saga_id = v.saga_id
        """,
        sql.as_json(changes),
    )


def claim_still(*, now: datetime, limit: int, only: str | None = None) -> list[str]:
    """Locks the sagas that are due to be checked, except those locked by others; returns their ids.
    `only`: no other saga than this.

    Only the ids, so that a row that can't be read is claimed, too.
    """
    rows = _execute(
        """
        SELECT saga_id FROM saga_choreography_saga
        WHERE watch_at <= %s AND saga_id = coalesce(%s, saga_id)
        ORDER BY watch_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
        """,
        now,
        only,
        limit,
    )
    return [row[0] for row in rows]


def lock_watched(*, saga_ids: Iterable[str]) -> list[WatchedSaga]:
    """Locks and returns the sagas found. Raises UnreadableSaga."""
    rows = _execute(
        """
        SELECT saga_id, saga, phase, context::text, started_at, redrives, redriven_at,
               status, stop_requested_at IS NOT NULL, failure_step, failure_code, failure_detail,
               parked_step, parked_reason, waiting_step, waiting_for, waiting_since,
               waiting_until, waited_seconds
        FROM saga_choreography_saga WHERE saga_id = ANY(%s) ORDER BY saga_id FOR NO KEY UPDATE
        """,
        sorted(saga_ids),
    )
    return [_watched(*row) for row in rows]


def record(*, updates: Sequence[WatchdogUpdate]) -> None:
    """Writes the watchdog's decisions for claimed sagas."""
    _execute(
        """
        UPDATE saga_choreography_saga AS saga
        SET watch_at = v.watch_at, redrives = v.redrives, redriven_at = v.redriven_at,
            status = CASE WHEN v.parked_at IS NULL THEN saga.status ELSE 'parked' END,
            parked_at = v.parked_at, parked_step = v.parked_step, parked_reason = v.parked_reason
        FROM json_to_recordset(%s)
             AS v (saga_id text, watch_at timestamptz, redrives int, redriven_at timestamptz,
                   parked_at timestamptz, parked_step text, parked_reason text)
        WHERE saga.saga_id = v.saga_id
        """,
        sql.as_json(updates),
    )


def leave_alone(*, waits: Mapping[str, Wait], watch_at: Mapping[str, datetime]) -> None:
    """Records that steps of locked sagas wait: the watchdog checks them only after `watch_at`."""
    _execute(
        """
        UPDATE saga_choreography_saga AS saga
        SET waiting_step = v.step, waiting_for = v.decided_by, waiting_since = v.since,
            waiting_until = v.until, waited_seconds = v.waited_seconds, watch_at = v.watch_at,
            redrives = 0, parked_at = NULL, parked_step = '', parked_reason = '',
            status = CASE saga.status WHEN 'parked' THEN 'running' ELSE saga.status END
        FROM json_to_recordset(%s)
             AS v (saga_id text, step text, decided_by text, since timestamptz,
                   until timestamptz, waited_seconds float8, watch_at timestamptz)
        WHERE saga.saga_id = v.saga_id
        """,
        sql.rows(
            {
                "saga_id": saga_id,
                "watch_at": watch_at[saga_id],
                **{name: getattr(wait, name) for name in Wait.__struct_fields__},
            }
            for saga_id, wait in waits.items()
        ),
    )


def begin_anew(*, context: Context, watch_at: datetime) -> None:
    """Deletes an unreadable saga's trail, and gives it a new context."""
    _execute("DELETE FROM saga_choreography_sagaevent WHERE saga_id = %s", context.saga_id)
    _execute(
        """
        UPDATE saga_choreography_saga
        SET context = %s::jsonb, status = 'running', phase = 0,
            failure_step = '', failure_code = '', failure_detail = '', started_at = now(),
            finished_at = NULL, watch_at = %s, redrives = 0, redriven_at = NULL, parked_at = NULL,
            parked_step = '', parked_reason = '', stop_requested_at = NULL, waiting_step = ''
        WHERE saga_id = %s
        """,
        sql.as_json(context),
        watch_at,
        context.saga_id,
    )


def forget_sagas(*, saga_ids: Sequence[str], seconds: float) -> set[str]:
    """Deletes the sagas that ended more than `seconds` ago, with their trails; returns the ids
    left. A saga of which an operator skipped a step stays, as evidence.
    """
    _execute(
        """
        WITH gone AS (
            DELETE FROM saga_choreography_saga WHERE saga_id IN (
                SELECT saga_id FROM saga_choreography_saga AS saga
                WHERE saga_id = ANY(%s) AND status = ANY(%s) AND watch_at IS NULL
                  AND finished_at < now() - make_interval(secs => %s)
                  AND NOT EXISTS (SELECT FROM saga_choreography_intervention AS asked
                                  WHERE asked.saga_id = saga.saga_id AND action = 'skip')
                FOR UPDATE SKIP LOCKED)
            RETURNING saga_id
        )
        DELETE FROM saga_choreography_sagaevent WHERE saga_id IN (SELECT saga_id FROM gone)
        """,
        list(saga_ids),
        list(FINAL),
        seconds,
    )
    return set(names(saga_ids=saga_ids))


def of(*, saga_ids: Iterable[str]) -> Trails:
    """The trails of these sagas, empty if no event was seen. Raises UnreadableSaga."""
    trails: dict[str, list[TrackedEvent]] = {saga_id: [] for saga_id in saga_ids}
    for row in _execute(
        f"""
        SELECT {_COLUMNS} FROM saga_choreography_sagaevent WHERE saga_id = ANY(%s)
        ORDER BY occurred_at, seen_at
        """,
        list(trails),
    ):
        stored = dict(zip(_STORED, row, strict=True))
        trails[row[0]].append(TrackedEvent(**stored | {"data": _body_of(row)}))
    return trails


def types_of(*, saga_ids: Iterable[str]) -> dict[str, list[str]]:
    """The types of the events seen of these sagas, for lists."""
    types: dict[str, list[str]] = {saga_id: [] for saga_id in saga_ids}
    for saga_id, event_type in _execute(
        "SELECT saga_id, event_type FROM saga_choreography_sagaevent WHERE saga_id = ANY(%s)",
        list(types),
    ):
        types[saga_id].append(event_type)
    return types


def _body_of(row: tuple[Any, ...]) -> EventBody:
    try:
        return _event_body.decode(row[7])
    except msgspec.MsgspecError as error:
        raise UnreadableSaga(row[0], f"the data of {row[1]}: {error}") from error


def _watched(saga_id: str, saga: str, phase: int, context: str, *row: Any) -> WatchedSaga:
    started_at, redrives, redriven_at, status, is_stopped, *failure = row[:8]
    parked_step, parked_reason, *wait = row[8:]
    return WatchedSaga(
        context=_read(saga_id, saga, phase, context),
        phase=SagaPhase(phase),
        started_at=started_at,
        redrives=redrives,
        redriven_at=redriven_at,
        status=SagaStatus(status),
        is_stopped=is_stopped,
        failure=Failure(*failure) if failure[1] else None,
        parked_step=parked_step,
        parked_reason=parked_reason,
        wait=Wait(**dict(zip(Wait.__struct_fields__, wait, strict=True))) if wait[0] else None,
    )


def _execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
    return sql.execute(service=SERVICE, sql=statement, values=values)
