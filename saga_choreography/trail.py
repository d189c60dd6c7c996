"""All SQL of the hot path and of the watchdog: set-based, one statement for a whole batch.

Order of locks: sagas by id, then the trail's rows; the watchdog takes only rows that are free.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec

from contracts.commands import Checkout
from contracts.events import Event
from saga_choreography.entries import (
    Locked,
    Said,
    Seen,
    Settled,
    Stage,
    Stop,
    Verdict,
    Watched,
)
from sagas import sql

Trails = Mapping[str, list[Seen]]
"""By saga id, each in the order in which things happened."""

_SERVICE = "saga_choreography"
_STAGES = frozenset(Stage)
_STORED = Seen.__struct_fields__
_COLUMNS = ", ".join([*_STORED[:-1], "data::text"])
_said = msgspec.json.Decoder(Said)
_checkout = msgspec.json.Decoder(Checkout)


class Unreadable(Exception):
    """What is stored of this saga can't be read back: somebody has typed over it."""

    def __init__(self, saga_id: str, what: str) -> None:
        super().__init__(f"What is stored of {saga_id} can't be read: {what}")


class Started(NamedTuple):
    """A checkout, and the event that starts it."""

    checkout: Checkout
    initiated: Event


def check(*, saga_id: str, stage: int, context: msgspec.Raw) -> None:
    """Raises Unreadable where the row's stage or checkout is none that there is."""
    if stage not in _STAGES:
        raise Unreadable(saga_id, f"there is no stage {stage}")
    try:
        _checkout.decode(context)
    except msgspec.MsgspecError as error:
        raise Unreadable(saga_id, f"its checkout: {error}") from error


def now() -> datetime:
    """The database's clock: the one that all times here are of, whatever the hosts' clocks say."""
    ((found,),) = _execute("SELECT clock_timestamp()")
    return cast(datetime, found)


def add_sagas(*, started: Sequence[Started], watch_at: datetime) -> set[str]:
    """Writes the sagas, each with the first entry of its trail; the ids of those that are new."""
    rows = _execute(
        """
        WITH v AS MATERIALIZED (
            SELECT * FROM json_to_recordset(%s)
                AS v (saga_id text, cart_id text, total_amount numeric, context jsonb,
                      event_type text, event_id text, started_at timestamptz)
            ORDER BY saga_id
        ), begun AS (
            INSERT INTO saga_choreography_saga
                   (saga_id, cart_id, total_amount, context, status, stage, started_at, watch_at)
            SELECT saga_id, cart_id, total_amount, context, 'running', 0, started_at, %s FROM v
            ON CONFLICT (saga_id) DO NOTHING
            RETURNING saga_id
        ), said AS (
            INSERT INTO saga_choreography_sagaevent
                   (saga_id, event_type, event_id, cause_id, occurred_at, seen_at, data)
            SELECT saga_id, event_type, event_id, '', started_at, started_at, '{}'
            FROM v JOIN begun USING (saga_id)
            ON CONFLICT (saga_id, event_type) DO NOTHING
        )
        SELECT saga_id FROM begun
        """,
        sql.rows(
            {
                "saga_id": one.checkout.saga_id,
                "cart_id": one.checkout.cart_id,
                "total_amount": one.checkout.total_amount,
                "context": one.initiated.data.context,
                "event_type": one.initiated.type,
                "event_id": one.initiated.id,
                "started_at": one.initiated.occurred_at,
            }
            for one in started
        ),
        watch_at,
    )
    return {row[0] for row in rows}


def add_seen(*, seen: Sequence[Seen], watch_at: datetime) -> None:
    """Writes what was not seen before. A parked saga of which something new is seen goes on."""
    ordered = sorted(seen, key=lambda one: (one.saga_id, one.event_type))
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
        SET status = CASE stage WHEN 0 THEN 'running' ELSE 'compensating' END,
            parked_at = NULL, parked_step = '', parked_reason = '', nudges = 0, watch_at = %s
        WHERE status = 'parked' AND saga_id IN (SELECT saga_id FROM new)
        """,
        sql.as_json(ordered),
        watch_at,
    )


def lock_stages(*, saga_ids: Iterable[str]) -> dict[str, Locked]:
    """The stages of those of these sagas that there are, locked.

    The row itself says whether a person has stopped it: who waits for the lock here reads the row
    anew, but another table as it was before the wait.
    """
    rows = _execute(
        """
        SELECT saga_id, stage, stop_requested_at IS NOT NULL FROM saga_choreography_saga
        WHERE saga_id = ANY(%s) ORDER BY saga_id FOR NO KEY UPDATE
        """,
        sorted(saga_ids),
    )
    return {
        row[0]: Locked(Stage(row[1]) if row[1] in _STAGES else None, is_stopped=row[2])
        for row in rows
    }


def stop(*, saga_ids: Iterable[str], at: datetime) -> None:
    """Writes down that a person was answered that these, which are locked, will be undone."""
    _execute(
        "UPDATE saga_choreography_saga SET stop_requested_at = %s WHERE saga_id = ANY(%s)",
        at,
        list(saga_ids),
    )


def stops(*, saga_ids: Iterable[str]) -> dict[str, Stop]:
    """Who asked for each of these sagas, which were stopped, to be undone."""
    rows = _execute(
        """
        SELECT DISTINCT ON (saga_id) saga_id, requested_by, reason
        FROM saga_choreography_intervention WHERE saga_id = ANY(%s) AND action = 'abort'
        ORDER BY saga_id, id DESC
        """,
        list(saga_ids),
    )
    return {row[0]: Stop(row[1], row[2]) for row in rows}


def settle(*, settled: Sequence[Settled]) -> None:
    """Brings locked sagas to their new stage."""
    _execute(
        """
        UPDATE saga_choreography_saga AS saga
        SET stage = v.stage, status = v.status, failure_step = v.failure_step,
            failure_code = v.failure_code, failure_detail = v.failure_detail,
            finished_at = v.finished_at, watch_at = v.watch_at, nudges = 0
        FROM json_to_recordset(%s)
             AS v (saga_id text, stage int, status text, failure_step text, failure_code text,
                   failure_detail text, finished_at timestamptz, watch_at timestamptz)
        WHERE saga.saga_id = v.saga_id
        """,
        sql.as_json(settled),
    )


def claim_still(*, now: datetime, limit: int) -> list[str]:
    """Sagas that are due to be looked at, locked; those that somebody works on are left out.

    Their ids only: a row that can't be read is claimed like any other.
    """
    rows = _execute(
        """
        SELECT saga_id FROM saga_choreography_saga WHERE watch_at <= %s
        ORDER BY watch_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
        """,
        now,
        limit,
    )
    return [row[0] for row in rows]


def claim_one(*, saga_id: str, now: datetime) -> list[str]:
    """Claims this saga as `claim_still` would; none where it is not due any more, or not free."""
    rows = _execute(
        """
        SELECT saga_id FROM saga_choreography_saga WHERE saga_id = %s AND watch_at <= %s
        FOR NO KEY UPDATE SKIP LOCKED
        """,
        saga_id,
        now,
    )
    return [row[0] for row in rows]


def lock_watched(*, saga_ids: Iterable[str]) -> list[Watched]:
    """Those of these sagas that there are, locked. Raises Unreadable."""
    rows = _execute(
        """
        SELECT saga_id, context::text, stage, started_at, nudges, nudged_at,
               stop_requested_at IS NOT NULL, parked_step, parked_reason
        FROM saga_choreography_saga WHERE saga_id = ANY(%s) ORDER BY saga_id FOR NO KEY UPDATE
        """,
        sorted(saga_ids),
    )
    return [_watched(row) for row in rows]


def record(*, verdicts: Sequence[Verdict]) -> None:
    """Writes what the watchdog decided for the sagas that it had claimed."""
    _execute(
        """
        UPDATE saga_choreography_saga AS saga
        SET watch_at = v.watch_at, nudges = v.nudges, nudged_at = v.nudged_at,
            status = CASE WHEN v.parked_at IS NULL THEN saga.status ELSE 'parked' END,
            parked_at = v.parked_at, parked_step = v.parked_step, parked_reason = v.parked_reason
        FROM json_to_recordset(%s)
             AS v (saga_id text, watch_at timestamptz, nudges int, nudged_at timestamptz,
                   parked_at timestamptz, parked_step text, parked_reason text)
        WHERE saga.saga_id = v.saga_id
        """,
        sql.as_json(verdicts),
    )


def begin_anew(*, saga_id: str, context: bytes, watch_at: datetime) -> None:
    """Forgets what can't be read of a saga, and what it was about."""
    _execute("DELETE FROM saga_choreography_sagaevent WHERE saga_id = %s", saga_id)
    _execute(
        """
        UPDATE saga_choreography_saga
        SET context = %s::jsonb, total_amount = 0, status = 'running', stage = 0,
            failure_step = '', failure_code = '', failure_detail = '', started_at = now(),
            finished_at = NULL, watch_at = %s, nudges = 0, nudged_at = NULL, parked_at = NULL,
            parked_step = '', parked_reason = '', stop_requested_at = NULL
        WHERE saga_id = %s
        """,
        context.decode(),
        watch_at,
        saga_id,
    )


def of(*, saga_ids: Iterable[str]) -> Trails:
    """The trails of these sagas; an empty one where nothing was seen. Raises Unreadable."""
    trails: dict[str, list[Seen]] = {saga_id: [] for saga_id in saga_ids}
    for row in _execute(
        f"""
        SELECT {_COLUMNS} FROM saga_choreography_sagaevent WHERE saga_id = ANY(%s)
        ORDER BY occurred_at, seen_at
        """,
        list(trails),
    ):
        stored = dict(zip(_STORED, row, strict=True))
        trails[row[0]].append(Seen(**stored | {"data": _said_of(row)}))
    return trails


def types_of(*, saga_ids: Iterable[str]) -> dict[str, list[str]]:
    """What was seen of these sagas, without what it carried: for lists."""
    types: dict[str, list[str]] = {saga_id: [] for saga_id in saga_ids}
    for saga_id, event_type in _execute(
        "SELECT saga_id, event_type FROM saga_choreography_sagaevent WHERE saga_id = ANY(%s)",
        list(types),
    ):
        types[saga_id].append(event_type)
    return types


def _said_of(row: tuple[Any, ...]) -> Said:
    try:
        return _said.decode(row[7])
    except msgspec.MsgspecError as error:
        raise Unreadable(row[0], f"the data of {row[1]}: {error}") from error


def _watched(row: tuple[Any, ...]) -> Watched:
    context = msgspec.Raw(row[1].encode())
    check(saga_id=row[0], stage=row[2], context=context)
    return Watched(
        saga_id=row[0],
        context=context,
        stage=Stage(row[2]),
        started_at=row[3],
        nudges=row[4],
        nudged_at=row[5],
        is_stopped=row[6],
        parked_step=row[7],
        parked_reason=row[8],
    )


def _execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
    return sql.execute(service=_SERVICE, sql=statement, values=values)
