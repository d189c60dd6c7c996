"""The barrier: each step of a saga takes effect once, and never after its undo.

One row for (saga, step, direction), written in the transaction of the effect. The idea is DTM's
sub-transaction barrier (Fu Ye, 2021): insert the key, and let the database say who was first.

The row of a step that waits for a decision stays `waiting`. A decision, its timeout, an undo and a
block all take that row's lock; the first to get it closes the row.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings

from contracts import refusals
from contracts.outcomes import NOTHING_TO_UNDO, Done, Outcome, Refused, Waiting, is_skipped
from contracts.saga import Command, Direction
from participant import sql
from participant.models import BarrierStatus
from participant.operations import Operation

KEEP_SECONDS = 30 * 24 * 3600.0
"""The default of DUETO_KEEP_SECONDS."""
_ABORTED = Refused(refusals.ABORTED, "This step was undone or blocked before it could happen.")

Key = tuple[str, str]
"""A saga's id, and the step."""


@dataclass(frozen=True, kw_only=True)
class Entered:
    """Which commands are to be run, and the outcomes of the others, all by key.

    `fresh`: to be run; the id of the row for the outcome. `settled`: the outcomes of commands that
    need no run. `known`: the stored outcomes of repeated commands. `withdrawn`: the steps that
    waited for a decision until now.
    """

    fresh: Mapping[Key, int]
    settled: Mapping[Key, Outcome]
    known: Mapping[Key, Outcome]
    withdrawn: Collection[Key] = ()


def keep_seconds() -> float:
    """How long rows are kept after their end."""
    return float(getattr(settings, "KEEP_SECONDS", KEEP_SECONDS))


def enter(*, operation: Operation, commands: Sequence[Command]) -> Entered:
    """Inserts the keys of these commands; waits for transactions that are inserting the same keys.

    Must run in the transaction in which the effect is written. Keys are inserted in sorted order,
    so that two overlapping batches cannot wait for each other.
    """
    sagas = {key_of(operation, command): command.saga for command in commands}
    if operation.direction is Direction.DO:
        return _enter_do(operation, sagas)
    if operation.direction is Direction.UNDO:
        return _enter_undo(operation, sagas)
    return _block(operation, sagas)


def key_of(operation: Operation, command: Command) -> Key:
    """The command's key in the barrier."""
    return command.saga_id, operation.step_of(command)


def record(*, operation: Operation, outcomes: Mapping[int, Outcome]) -> None:
    """Stores the outcomes (by row id) in the transaction of the effects, for repeated commands."""
    if outcomes:
        _execute(
            operation,
            """
            UPDATE {table} AS entry
            SET status = v.status, code = v.code, detail = v.detail, data = v.data,
                decided_at = CASE v.status WHEN 'waiting' THEN NULL ELSE clock_timestamp() END
            FROM json_to_recordset(%s)
                 AS v (id bigint, status text, code text, detail text, data jsonb)
            WHERE entry.id = v.id
            """,
            [sql.rows({"id": row_id, **_row(outcome)} for row_id, outcome in outcomes.items())],
        )


def forget(*, operation: Operation, commands: Sequence[Command]) -> None:
    """Deletes the keys of these commands: for a refusal that must not be remembered."""
    if commands:
        _execute(
            operation,
            """
            DELETE FROM {table} AS entry USING json_to_recordset(%s) AS v (saga_id text, step text)
            WHERE entry.saga_id = v.saga_id AND entry.step = v.step AND entry.direction = %s
            """,
            [_keys(key_of(operation, command) for command in commands), operation.direction.value],
        )


def forget_sagas(
    *, service: str, saga_ids: Sequence[str], seconds: float, has_decisions: bool
) -> set[str]:
    """Deletes the entries of these sagas, and their decisions; none of a saga with an entry that is
    open or younger than `seconds`, and none that is locked. Returns the sagas that still have
    entries.
    """
    entries = f"{service}_barrierentry"
    gone = sql.execute(
        service=service,
        sql=f"""
        WITH over AS MATERIALIZED (
            SELECT saga_id FROM {entries} WHERE saga_id = ANY(%s) GROUP BY saga_id
            HAVING bool_and(coalesce(decided_at < now() - make_interval(secs => %s), false))
        ), held AS MATERIALIZED (
            SELECT entry.id FROM {entries} AS entry JOIN over USING (saga_id)
            FOR UPDATE OF entry SKIP LOCKED
        )
        DELETE FROM {entries} WHERE id IN (SELECT id FROM held) RETURNING saga_id
        """,
        values=[list(saga_ids), seconds],
    )
    if has_decisions and gone:
        sql.execute(
            service=service,
            sql=f"DELETE FROM {service}_decision WHERE saga_id = ANY(%s) AND closed_at IS NOT NULL",
            values=[sorted({row[0] for row in gone})],
        )
    left = sql.execute(
        service=service,
        sql=f"SELECT saga_id FROM {entries} WHERE saga_id = ANY(%s)",
        values=[list(saga_ids)],
    )
    return {row[0] for row in left}


def owned(*, operation: Operation, commands: Sequence[Command]) -> dict[str, str]:
    """By saga id the name of the saga, for commands whose saga id belongs to a real saga here: its
    steps may not be called by hand. Exception: an undo by hand of a step that was done by hand.
    """
    rows = _execute(
        operation,
        """
        SELECT DISTINCT saga_id, saga FROM {table} AS entry
        WHERE saga_id = ANY(%s) AND saga <> '' AND NOT (%s = 'undo' AND EXISTS (
            SELECT FROM {table} AS own WHERE own.saga_id = entry.saga_id AND own.step = %s
               AND own.direction = 'do' AND own.saga = ''))
        """,
        [
            sorted({command.saga_id for command in commands}),
            operation.direction.value,
            operation.action,
        ],
    )
    return dict(rows)


def _enter_do(operation: Operation, sagas: Mapping[Key, str]) -> Entered:
    fresh = _take(operation, sagas, Direction.DO)
    known = _stored(operation, sagas.keys() - fresh, Direction.DO)
    return Entered(fresh=fresh, settled={}, known=known)


def _enter_undo(operation: Operation, sagas: Mapping[Key, str]) -> Entered:
    first = _take(operation, sagas, Direction.UNDO)
    known = _stored(operation, sagas.keys() - first, Direction.UNDO)
    never_happened = _take(
        operation, {key: sagas[key] for key in first}, Direction.DO, status=BarrierStatus.REFUSED
    )
    withdrawn = _withdraw(operation, first.keys() - never_happened)
    actions = _stored(operation, first.keys() - never_happened, Direction.DO)
    fresh = {
        key: first[key]
        for key, action in actions.items()
        if isinstance(action, Done) and not is_skipped(action)
    }
    nothing = [key for key in first if key not in fresh]
    record(operation=operation, outcomes={first[key]: NOTHING_TO_UNDO for key in nothing})
    settled = dict.fromkeys(nothing, NOTHING_TO_UNDO)
    return Entered(fresh=fresh, settled=settled, known=known, withdrawn=withdrawn)


def _block(operation: Operation, sagas: Mapping[Key, str]) -> Entered:
    blocked = _take(operation, sagas, Direction.DO, status=BarrierStatus.REFUSED)
    withdrawn = _withdraw(operation, sagas.keys() - blocked)
    known = _stored(operation, sagas.keys() - blocked - withdrawn, Direction.DO)
    settled = dict.fromkeys([*blocked, *withdrawn], _ABORTED)
    return Entered(fresh={}, settled=settled, known=known, withdrawn=withdrawn)


def _withdraw(operation: Operation, keys: Collection[Key]) -> set[Key]:
    """Closes the steps that wait for a decision: they are refused for good."""
    if not operation.doing.decide or not keys:
        return set()
    rows = _execute(
        operation,
        """
        WITH waiting AS (
            SELECT id FROM json_to_recordset(%s) AS v (saga_id text, step text)
            JOIN {table} AS entry USING (saga_id, step) WHERE direction = 'do'
            ORDER BY saga_id, step FOR UPDATE OF entry
        )
        UPDATE {table} AS entry SET status = 'refused', code = %s, detail = %s, data = '{{}}',
            decided_at = clock_timestamp()
        FROM waiting WHERE entry.id = waiting.id AND entry.status = 'waiting'
        RETURNING saga_id, step
        """,
        [_keys(sorted(keys)), _ABORTED.code, _ABORTED.detail],
    )
    return {(saga_id, step) for saga_id, step in rows}


def lock_waiting(*, operation: Operation, keys: Collection[Key]) -> dict[Key, tuple[int, Waiting]]:
    """Locks the steps that wait for a decision; their row ids, and what each waits for."""
    rows = _execute(
        operation,
        """
        SELECT saga_id, step, id, data::text
        FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN {table} AS entry USING (saga_id, step) WHERE direction = 'do' AND status = 'waiting'
        ORDER BY saga_id, step FOR UPDATE OF entry
        """,
        [_keys(sorted(keys))],
    )
    return {(row[0], row[1]): (row[2], _waiting(row[3])) for row in rows}


def stored(*, operation: Operation, keys: Collection[Key]) -> dict[Key, Outcome]:
    """The operation's stored outcomes for these steps."""
    return _stored(operation, keys, operation.direction)


def _take(
    operation: Operation,
    sagas: Mapping[Key, str],
    direction: Direction,
    status: BarrierStatus | None = None,
) -> dict[Key, int]:
    """Inserts the keys that are new; their row ids. With `status`, as refused for good."""
    if not sagas:
        return {}
    rows = _execute(
        operation,
        """
        INSERT INTO {table} (saga_id, step, saga, direction, status, code, detail, decided_at)
        SELECT saga_id, step, saga, %s, %s, %s, %s,
               CASE WHEN %s::text IS NULL THEN NULL ELSE clock_timestamp() END
        FROM json_to_recordset(%s) AS v (saga_id text, step text, saga text)
        ON CONFLICT (saga_id, step, direction) DO NOTHING
        RETURNING saga_id, step, id
        """,
        [
            direction.value,
            status,
            _ABORTED.code if status else "",
            _ABORTED.detail if status else "",
            status,
            sql.rows(
                {"saga_id": saga_id, "step": step, "saga": sagas[saga_id, step]}
                for saga_id, step in sorted(sagas)
            ),
        ],
    )
    return {(saga_id, step): row_id for saga_id, step, row_id in rows}


def _stored(
    operation: Operation, keys: Collection[Key], direction: Direction
) -> dict[Key, Outcome]:
    if not keys:
        return {}
    rows = _execute(
        operation,
        """
        SELECT saga_id, step, status, code, detail, data::text
        FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN {table} AS entry USING (saga_id, step) WHERE direction = %s
        """,
        [_keys(sorted(keys)), direction.value],
    )
    return {(row[0], row[1]): _outcome(*row[2:]) for row in rows}


def _keys(keys: Iterable[Key]) -> str:
    return sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in keys)


def _row(outcome: Outcome) -> dict[str, Any]:
    row = {"status": BarrierStatus.DONE.value, "code": "", "detail": "", "data": {}}
    if isinstance(outcome, Refused):
        refused = {"code": outcome.code, "detail": outcome.detail}
        return {**row, "status": BarrierStatus.REFUSED.value, **refused}
    if isinstance(outcome, Waiting):
        until = {"decided_by": outcome.decided_by, "until": outcome.until}
        return {**row, "status": BarrierStatus.WAITING.value, "data": until}
    return {**row, "data": outcome.data}


def _outcome(status: str, code: str, detail: str, data: str) -> Outcome:
    if status == BarrierStatus.REFUSED:
        return Refused(code, detail)
    if status == BarrierStatus.WAITING:
        return _waiting(data)
    return Done(msgspec.json.decode(data))


def _waiting(data: str) -> Waiting:
    return msgspec.json.decode(data, type=Waiting)


def _execute(operation: Operation, statement: str, values: list[object]) -> list[tuple[Any, ...]]:
    table = f"{operation.service}_barrierentry"
    return sql.execute(service=operation.service, sql=statement.format(table=table), values=values)
