"""All SQL of the hot path: sagas in, claimed, moved and released, a whole batch in one statement.

A batch travels as one JSON parameter: psycopg writes arrays element by element in Python, at ten
times what msgspec takes for the same values. Times are the database's own, so that runners on
machines with different clocks agree.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import msgspec
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from contracts import projection
from contracts.catalogue import SAGAS
from contracts.context import Context
from contracts.outcomes import Failure
from contracts.saga import Direction, Saga, Step
from contracts.statuses import FINAL, SagaStatus
from saga_orchestrator import statements
from saga_orchestrator.moves import Move, Progress

ALIAS = "saga_orchestrator"
CHANNEL = "runner"
"""The doorbell that wakes a runner."""
SILENT_SECONDS = 3.0
"""A runner whose heart has not beaten for so long has lost its sagas."""
_NONE: Mapping[str, float] = MappingProxyType({})


class InFlight(msgspec.Struct, kw_only=True):
    """A saga as it was read: `version` is what its next move is fenced by.

    `deadline`: in how many seconds. `entered`: since when its call is due, in epoch seconds.
    `waited`: seconds since that call went out as a message; None while it has not.
    """

    saga_id: str
    name: str
    version: int
    status: SagaStatus
    context: Context
    progress: Progress
    stop_requested: bool
    deadline: float
    entered: float
    waited: float | None = None

    def context_after(self, move: Move) -> Context:
        """With what the move tells of a step's result, where a later one needs it."""
        record = move.record
        if not (record and record.result):
            return self.context
        steps = move.progress.steps
        return projection.with_result(
            context=self.context,
            steps=steps,
            step=steps[record.position].name,
            outcome=record.result,
        )


Call = tuple[str, str]
"""What is due to a saga: its step, and the direction."""


def call_of(*, progress: Progress) -> Call:
    """The call that is due."""
    return progress.step.name, progress.direction.value


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed row that this version of the code cannot run."""

    saga_id: str
    version: int
    reason: str


@receiver(connection_created)
def claim_in_order(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Goes on where `config.databases` begins, so that a plan that was made while the tables were
    new fits them for good: a claim reads the due ones in order, it does not sort them all. And
    PostgreSQL must not compile each plan anew because its settings make it look expensive (that
    cost 190 ms a saga).
    """
    if connection.alias == ALIAS:
        with connection.cursor() as cursor:
            cursor.execute(statements.SESSION)


def undo_all(*, saga: Saga, context: Context, detail: str) -> bool:
    """Has a saga whose row can't be read undone, from its last step that can be; whether it was
    not undone already. `context`: stands in for its own.
    """
    steps, digest = _json(saga.steps), _digest(saga)
    last = max(at for at, step in enumerate(saga.steps) if step.can(Direction.UNDO))
    name = saga.steps[last].name
    row = [saga.name, digest, _json(context), last, name, name, detail, context.saga_id]
    return bool(_rows(statements.UNDO_ALL, [digest, saga.name, steps, *row]))


def start(*, saga: Saga, contexts: Sequence[Context], seconds: float) -> list[str]:
    """Writes those sagas that are not known yet; returns their ids.

    `seconds`: after which one that has not passed its pivot is undone.
    """
    if not contexts:
        return []
    defined = [_digest(saga), saga.name, _json(saga.steps)]
    first = saga.steps[1].name
    made = _rows(
        statements.START,
        [*defined, saga.name, defined[0], first, seconds, _json(contexts)],
    )
    return [row[0] for row in made]


def beat(*, runner_id: int | None, host: str, pid: int) -> tuple[int, int]:
    """Tells that the runner lives; returns its id (a new one for None) and how many are parked."""
    row = _rows(statements.BEAT, [runner_id, host, pid])[0]
    return row[0], row[1]


def claim(
    *, runner_id: int, limit: int, in_hand: Sequence[str] = (), but: Sequence[Call] = ()
) -> list[InFlight | Unreadable]:
    """Takes sagas that are due and that no living runner has in hand, those due longest first.

    `in_hand`: what this runner is at; whatever else is written as its own is due to be claimed,
    whoever wrote that. `but`: leaves those to which one of these calls is due.
    """
    values = [*claimable(runner_id=runner_id, in_hand=in_hand, but=but), limit, runner_id]
    return [_read(*row) for row in _rows(statements.CLAIM, values)]


def claimable(*, runner_id: int, in_hand: Sequence[str], but: Sequence[Call]) -> list[Any]:
    """The values of `statements.CLAIMABLE`."""
    return [runner_id, _json(in_hand), SILENT_SECONDS, [" ".join(call) for call in but]]


def lock(*, saga_ids: Collection[str]) -> list[InFlight | Unreadable]:
    """Those sagas that there are, their rows locked for the transaction that is open."""
    return [_read(*row) for row in _rows(statements.LOCK, [sorted(saga_ids)])]


def record(
    *,
    moves: Iterable[tuple[InFlight, Move]],
    patience: Mapping[str, float] = _NONE,
    is_in_hand: bool = False,
) -> dict[str, float]:
    """Writes the moves: the sagas, and what is now known of their steps, in one statement.

    `patience`: of those sagas whose next call goes out as a message, the seconds to wait for its
    reply. `is_in_hand`: the caller makes the next calls itself, and keeps the sagas for that;
    otherwise they are nobody's. Returns when each was written, in epoch seconds; a saga that is
    missing there was moved by somebody else since it was read, and nothing was written of it.
    """
    moved = [_row(saga, move, patience.get(saga.saga_id), is_in_hand) for saga, move in moves]
    return dict(_rows(statements.RECORD, [_json(moved)]))


def park(*, unreadable: Unreadable) -> None:
    """Leaves a row that cannot be run to a person."""
    _execute(statements.PARK, [unreadable.reason, unreadable.saga_id, unreadable.version])


def request_stop(*, saga_id: str) -> None:
    """Asks whoever runs the saga to turn it back; makes one that waits due at once.

    It is a move like any other: what is being written by somebody who has not seen it is fenced
    off, and the saga is read anew.
    """
    _execute(statements.REQUEST_STOP, [saga_id])


def release(*, runner_id: int) -> None:
    """Gives the runner's sagas back to whoever claims them next, and fences off what it may still
    do with them.
    """
    _execute(statements.RELEASE, [runner_id])


def forget_runner(*, runner_id: int) -> None:
    """Takes out a runner that has stopped, and any that has been silent for an hour."""
    _execute(statements.FORGET_RUNNER, [runner_id])


def close() -> None:
    """Closes this thread's connection; the next statement makes a new one."""
    connections[ALIAS].close()


def _row(saga: InFlight, move: Move, patience: float | None, is_in_hand: bool) -> dict[str, Any]:
    """The move as JSON; what is left out is null there."""
    there = move.progress
    ended = move.status in FINAL
    row: dict[str, Any] = {
        "saga_id": saga.saga_id,
        "version": saga.version,
        "status": move.status,
        "position": there.position,
        "current_step": "" if ended else there.step.name,
        "direction": there.direction,
        "faults": there.faults,
        "kept": move.goes_on and is_in_hand,
        "ended": ended,
        "parked": move.status is SagaStatus.PARKED,
        "seconds": move.seconds,
    }
    if patience is not None:
        row["asked"] = True
        row["seconds"] = patience
    if move.reason:
        row["reason"] = move.reason
    if there.failure:
        row["failure_step"] = there.failure.step
        row["failure_code"] = there.failure.code
        row["failure_detail"] = there.failure.detail
        row["failure_undone"] = there.failure.undone
    if move.record:
        known = move.record
        row["entered"] = saga.entered
        row["step_position"] = known.position
        row["step_name"] = there.steps[known.position].name
        row["step_status"] = known.status
        row["step_do"] = known.do
        row["step_undo"] = known.undo
        row["step_error"] = known.error
        if known.result:
            row["step_data"] = known.result.data
            context = saga.context_after(move)
            if context is not saga.context:
                row["results"] = context.results
    return row


def _read(*row: Any) -> InFlight | Unreadable:
    """Whatever somebody has typed over it: a row that is no saga any more stops no other."""
    try:
        return _in_flight(*row)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Unreadable(saga_id=row[0], version=row[2], reason=f"not readable here: {error}")


def _in_flight(*row: Any) -> InFlight:
    saga_id, name, version, status, definition, context, position, direction, faults, *rest = row
    step, code, detail, undone, stop_requested, deadline, entered, waited = rest
    about = _context.decode(context)
    steps = _steps(definition)
    if (about.saga, about.saga_id) != (name, saga_id):
        raise ValueError(f"its context is that of the {about.saga} {about.saga_id}")
    if not 0 <= position < len(steps):
        raise ValueError(f"it stands at step {position} of {len(steps)}")
    if position and not steps[position].can(Direction(direction)):
        raise ValueError(f"its step {steps[position].name} has no {direction}")
    failure = Failure(step, code, detail, undone) if code else None
    return InFlight(
        saga_id=saga_id,
        name=name,
        version=version,
        status=SagaStatus(status),
        context=about,
        progress=Progress(
            steps=steps,
            position=position,
            direction=Direction(direction),
            faults=faults,
            failure=failure,
        ),
        stop_requested=stop_requested,
        deadline=deadline,
        entered=entered,
        waited=waited,
    )


_context = msgspec.json.Decoder(Context)


@cache
def _steps(digest: str) -> tuple[Step, ...]:
    rows = _rows(statements.STEPS, [digest])
    if not rows:
        raise msgspec.ValidationError(f"there is no definition {digest}")
    return msgspec.json.decode(rows[0][0], type=tuple[Step, ...])


@cache
def _digest_of(name: str) -> str:
    return hashlib.sha256(_json(SAGAS[name].steps).encode()).hexdigest()


def _digest(saga: Saga) -> str:
    """Of its steps, as they are now."""
    if SAGAS.get(saga.name) is saga:
        return _digest_of(saga.name)
    return hashlib.sha256(_json(saga.steps).encode()).hexdigest()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _rows(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _execute(sql: str, values: Sequence[Any]) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql, values)
