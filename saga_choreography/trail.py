"""All SQL of the hot path and of the watchdog: set-based, one statement for a whole batch.

Order of locks: sagas by id, then the trail's rows; the watchdog takes only rows that are free.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from contracts.commands import Checkout
from contracts.events import Event
from saga_choreography.entries import Said, Seen, Settled, Stage, Watched
from sagas import sql

Trails = Mapping[str, list[Seen]]
"""By saga id, each in the order in which things happened."""

_SERVICE = "saga_choreography"
_said = msgspec.json.Decoder(Said)


class Started(NamedTuple):
    """A checkout, and the event that starts it."""

    checkout: Checkout
    initiated: Event


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchdog decided for a saga that it had claimed."""

    saga_id: str
    watch_at: datetime | None
    nudges: int
    nudged_at: datetime | None
    parked_at: datetime | None = None
    parked_step: str = ""
    parked_reason: str = ""


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


def lock_stages(*, saga_ids: Iterable[str]) -> dict[str, Stage]:
    """The stages of those of these sagas that there are, locked."""
    rows = _execute(
        """
        SELECT saga_id, stage FROM saga_choreography_saga WHERE saga_id = ANY(%s)
        ORDER BY saga_id FOR NO KEY UPDATE
        """,
        sorted(saga_ids),
    )
    return {row[0]: Stage(row[1]) for row in rows}


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


def claim_still(*, now: datetime, limit: int) -> list[Watched]:
    """Sagas that are due to be looked at, locked; those that somebody works on are left out."""
    rows = _execute(
        """
        SELECT saga_id, context::text, stage, started_at, nudges, nudged_at
        FROM saga_choreography_saga WHERE watch_at <= %s
        ORDER BY watch_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
        """,
        now,
        limit,
    )
    return [_watched(row) for row in rows]


def lock_watched(*, saga_ids: Iterable[str]) -> list[Watched]:
    """Those of these sagas that there are, locked."""
    rows = _execute(
        """
        SELECT saga_id, context::text, stage, started_at, nudges, nudged_at
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


def of(*, saga_ids: Iterable[str]) -> Trails:
    """The trails of these sagas; an empty one where nothing was seen."""
    trails: dict[str, list[Seen]] = {saga_id: [] for saga_id in saga_ids}
    for row in _execute(
        """
        SELECT saga_id, event_type, event_id, cause_id, requested_at, occurred_at, seen_at,
               data::text
        FROM saga_choreography_sagaevent WHERE saga_id = ANY(%s) ORDER BY occurred_at, seen_at
        """,
        list(trails),
    ):
        trails[row[0]].append(
            Seen(
                saga_id=row[0],
                event_type=row[1],
                event_id=row[2],
                cause_id=row[3],
                requested_at=row[4],
                occurred_at=row[5],
                seen_at=row[6],
                data=_said.decode(row[7]),
            )
        )
    return trails


def _watched(row: tuple[Any, ...]) -> Watched:
    return Watched(
        saga_id=row[0],
        context=msgspec.Raw(row[1].encode()),
        stage=Stage(row[2]),
        started_at=row[3],
        nudges=row[4],
        nudged_at=row[5],
    )


def _execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
    return sql.execute(service=_SERVICE, sql=statement, values=values)
