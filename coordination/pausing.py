"""Pausing: an operator makes an owner stop accepting a saga, in every pattern or in one.

Running sagas go on to their end; new ones are refused (503 `paused`), with who has paused the saga,
why and since when. Pauses are rows of a table: they hold after a restart, in every process within
REFRESH_SECONDS, and rows of ended pauses are kept. All SQL on the table is here.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from django.db import transaction

from contracts import refusals
from contracts.bounds import Time
from contracts.outcomes import Refused
from httpapi.problems import Problem
from participant import sql, trail

REFRESH_SECONDS = 1.0
"""Between two queries of the table (by an index) in a process that accepts sagas."""
RETRY_AFTER_SECONDS = 30
"""The length of a pause is unknown; retries at this interval do no harm."""


class PausedSaga(msgspec.Struct, frozen=True, kw_only=True):
    """A saga that is paused. `saga_pattern`: in that pattern only; empty: in all."""

    saga: str
    saga_pattern: str
    paused_by: str
    reason: str
    paused_at: Time

    def __str__(self) -> str:
        what = f"{self.saga}, {self.saga_pattern}," if self.saga_pattern else self.saga
        return f"{what} is paused by {self.paused_by}: {self.reason}"


_lock = threading.Lock()
_seen: dict[str, tuple[float, list[PausedSaga]]] = {}
"""By service: the time of this process's last query (monotonic), and its pauses."""


def check(*, service: str, saga: str, pattern: str) -> None:
    """Raises Problem (503) if this saga is paused."""
    for pause in _known(service):
        if pause.saga == saga and pause.saga_pattern in ("", pattern):
            raise Problem(
                status=503,
                code="paused",
                detail=f"{pause} (since {pause.paused_at:%Y-%m-%d %H:%M:%S} UTC)."
                " Accepted sagas go on; try again later.",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )


def in_force(*, service: str) -> list[PausedSaga]:
    """The pauses in force, the first one first."""
    return _execute(
        service,
        """
        SELECT saga, saga_pattern, paused_by, reason, paused_at FROM {table}
        WHERE resumed_at IS NULL ORDER BY paused_at
        """,
    )


def pause(*, service: str, saga: str, pattern: str, by: str, reason: str) -> PausedSaga | Refused:
    """Pauses a saga, in every pattern if none is named. Refused: already_paused."""
    trail.because(reason, by=by)
    made = _noted(
        "pause",
        service,
        """
        INSERT INTO {table} (saga, saga_pattern, paused_by, reason) VALUES (%s, %s, %s, %s)
        ON CONFLICT (saga, saga_pattern) WHERE resumed_at IS NULL DO NOTHING
        RETURNING saga, saga_pattern, paused_by, reason, paused_at
        """,
        [saga, pattern, by, reason],
    )
    _seen.pop(service, None)
    if not made:
        return Refused(refusals.ALREADY_PAUSED, f"{_named(saga, pattern)} is paused already.")
    return made[0]


def resume(
    *, service: str, saga: str, pattern: str, by: str, reason: str
) -> list[PausedSaga] | Refused:
    """Resumes a saga, in every pattern if none is named; the pauses that this ends. Refused:
    not_paused, also for one pattern of a saga that is paused in all.
    """
    trail.because(reason, by=by)
    ended = _noted(
        "resume",
        service,
        """
        UPDATE {table} SET resumed_at = clock_timestamp(), resumed_by = %s, resume_reason = %s
        WHERE saga = %s AND (saga_pattern = %s OR %s = '') AND resumed_at IS NULL
        RETURNING saga, saga_pattern, paused_by, reason, paused_at
        """,
        [by, reason, saga, pattern, pattern],
    )
    _seen.pop(service, None)
    if not ended:
        is_whole = any(known.saga == saga for known in in_force(service=service)) and pattern
        why = f"; {saga} is paused in other patterns, or in all: resume that" if is_whole else ""
        return Refused(refusals.NOT_PAUSED, f"{_named(saga, pattern)} is not paused{why}.")
    return ended


def _known(service: str) -> list[PausedSaga]:
    """The pauses, at most REFRESH_SECONDS old. One thread queries again after that time; others
    wait for it, so that no saga is accepted by an older result.
    """
    found = _fresh(service)
    if found is None:
        with _lock:
            found = _fresh(service)
            if found is None:
                looked_at = time.monotonic()
                found = in_force(service=service)
                _seen[service] = looked_at, found
    return found


def _fresh(service: str) -> list[PausedSaga] | None:
    seen = _seen.get(service)
    return seen[1] if seen and time.monotonic() - seen[0] < REFRESH_SECONDS else None


def _named(saga: str, pattern: str) -> str:
    return f"{saga}, {pattern}," if pattern else saga


def _noted(action: str, service: str, statement: str, values: Sequence[Any]) -> list[PausedSaga]:
    with transaction.atomic(using=service):
        found = _execute(service, statement, values)
        subjects = [(f"saga {pause.saga}", pause.saga_pattern) for pause in found]
        trail.note(service=service, action=action, subjects=subjects)
    return found


def _execute(service: str, statement: str, values: Sequence[Any] = ()) -> list[PausedSaga]:
    named = statement.format(table=f"{service}_pause")
    rows = sql.execute(service=service, sql=named, values=values)
    return [PausedSaga(**dict(zip(PausedSaga.__struct_fields__, row, strict=True))) for row in rows]
