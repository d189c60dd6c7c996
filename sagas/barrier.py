"""The barrier: each step of a saga takes effect once, and never after its undo.

One row for (saga, step, direction), written in the transaction of the effect. The idea is DTM's
sub-transaction barrier (Fu Ye, 2021): insert the key, and let the database say who was first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts import refusals
from contracts.outcomes import NOTHING_TO_UNDO, Done, Outcome, Refused
from sagas import sql
from sagas.models import BarrierStatus, Direction
from sagas.operations import Kind, Operation

_ABORTED = Refused(refusals.ABORTED, "This step was undone or blocked before it could happen.")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Who may go on, and what is answered for the others, all by saga id.

    `fresh`: to be run; the row that waits for the outcome. `settled`: answered now, with nothing
    to run. `known`: answered before.
    """

    fresh: Mapping[str, int]
    settled: Mapping[str, Outcome]
    known: Mapping[str, Outcome]


def enter(*, operation: Operation, saga_ids: Sequence[str]) -> Entry:
    """Takes the keys of these sagas for the operation; waits for whoever holds one.

    Must run in the transaction in which the effect is written. Keys are taken in sorted order, so
    that two overlapping batches cannot wait for each other.
    """
    ids = sorted(set(saga_ids))
    if operation.kind is Kind.DO:
        return _enter_do(operation=operation, ids=ids)
    if operation.kind is Kind.UNDO:
        return _enter_undo(operation=operation, ids=ids)
    return _block(operation=operation, ids=ids)


def record(*, operation: Operation, outcomes: Mapping[int, Outcome]) -> None:
    """Stores the outcomes (by row of the entry) beside the effects, to be answered from now on."""
    if outcomes:
        _execute(
            operation,
            """
            UPDATE {table} AS entry
            SET status = v.status, code = v.code, detail = v.detail, data = v.data,
                decided_at = clock_timestamp()
            FROM json_to_recordset(%s)
                 AS v (id bigint, status text, code text, detail text, data jsonb)
            WHERE entry.id = v.id
            """,
            [sql.rows({"id": row_id, **_row(outcome)} for row_id, outcome in outcomes.items())],
        )


def forget(*, operation: Operation, saga_ids: Sequence[str]) -> None:
    """Frees the keys of these sagas again: for a refusal that is not to be remembered."""
    if saga_ids:
        _execute(
            operation,
            "DELETE FROM {table} WHERE saga_id = ANY(%s) AND step = %s AND direction = %s",
            [list(saga_ids), operation.step, operation.kind.value],
        )


def _enter_do(*, operation: Operation, ids: list[str]) -> Entry:
    fresh = _take(operation, ids, Direction.DO)
    rest = [saga_id for saga_id in ids if saga_id not in fresh]
    return Entry(fresh=fresh, settled={}, known=_stored(operation, rest, Direction.DO))


def _enter_undo(*, operation: Operation, ids: list[str]) -> Entry:
    first = _take(operation, ids, Direction.UNDO)
    rest = [saga_id for saga_id in ids if saga_id not in first]
    known = _stored(operation, rest, Direction.UNDO)
    never_happened = _take(operation, sorted(first), Direction.DO, status=BarrierStatus.REFUSED)
    actions = _stored(
        operation, [saga_id for saga_id in first if saga_id not in never_happened], Direction.DO
    )
    fresh = {one: first[one] for one, action in actions.items() if isinstance(action, Done)}
    nothing = [saga_id for saga_id in first if saga_id not in fresh]
    record(operation=operation, outcomes={first[one]: NOTHING_TO_UNDO for one in nothing})
    return Entry(fresh=fresh, settled=dict.fromkeys(nothing, NOTHING_TO_UNDO), known=known)


def _block(*, operation: Operation, ids: list[str]) -> Entry:
    blocked = _take(operation, ids, Direction.DO, status=BarrierStatus.REFUSED)
    rest = [saga_id for saga_id in ids if saga_id not in blocked]
    known = _stored(operation, rest, Direction.DO)
    return Entry(fresh={}, settled=dict.fromkeys(blocked, _ABORTED), known=known)


def _take(
    operation: Operation,
    ids: list[str],
    direction: Direction,
    status: BarrierStatus | None = None,
) -> dict[str, int]:
    """The rows of those ids whose key was free; with `status`, it is refused for good."""
    if not ids:
        return {}
    rows = _execute(
        operation,
        """
        INSERT INTO {table} (saga_id, step, direction, status, code, detail, decided_at)
        SELECT saga_id, %s, %s, %s, %s, %s,
               CASE WHEN %s::text IS NULL THEN NULL ELSE clock_timestamp() END
        FROM json_array_elements_text(%s) AS saga_id
        ON CONFLICT (saga_id, step, direction) DO NOTHING
        RETURNING saga_id, id
        """,
        [
            operation.step,
            direction.value,
            status,
            _ABORTED.code if status else "",
            _ABORTED.detail if status else "",
            status,
            sql.as_json(ids),
        ],
    )
    return dict(rows)


def _stored(operation: Operation, ids: list[str], direction: Direction) -> dict[str, Outcome]:
    if not ids:
        return {}
    rows = _execute(
        operation,
        """
        SELECT saga_id, status, code, detail, data::text FROM {table}
        WHERE saga_id = ANY(%s) AND step = %s AND direction = %s
        """,
        [ids, operation.step, direction.value],
    )
    return {row[0]: _outcome(*row[1:]) for row in rows}


def _row(outcome: Outcome) -> dict[str, Any]:
    row = {"status": BarrierStatus.DONE.value, "code": "", "detail": "", "data": {}}
    if isinstance(outcome, Refused):
        refused = {"code": outcome.code, "detail": outcome.detail}
        return {**row, "status": BarrierStatus.REFUSED.value, **refused}
    return {**row, "data": outcome.data}


def _outcome(status: str, code: str, detail: str, data: str) -> Outcome:
    if status == BarrierStatus.REFUSED:
        return Refused(code, detail)
    return Done(msgspec.json.decode(data))


def _execute(operation: Operation, statement: str, values: list[object]) -> list[tuple[Any, ...]]:
    table = f"{operation.service}_barrierentry"
    return sql.execute(service=operation.service, sql=statement.format(table=table), values=values)
