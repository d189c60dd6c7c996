"""Pausing: an operator has an owner accept no more of a saga, in every pattern or in one.

What runs goes on to its end; the next one is refused (503 `paused`), and told who has paused it,
why and since when. The table keeps what was paused: it holds after a restart, in every process
within REFRESH_SECONDS, and the rows of pauses that are over are the record. All SQL of the table
is here.
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
"""So often a process looks at the table at most, while it accepts: by an index."""
RETRY_AFTER_SECONDS = 30
"""It is not known for how long a saga is paused; a client that asks so often does no harm."""


class PausedSaga(msgspec.Struct, frozen=True, kw_only=True):
    """A saga that is not accepted now. `saga_pattern`: in that one alone; empty: in all."""

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
"""By service: when this process has looked (monotonic), and what was paused then."""


def check(*, service: str, saga: str, pattern: str) -> None:
    """Raises Problem (503) where this saga is paused."""
    for pause in _known(service):
        if pause.saga == saga and pause.saga_pattern in ("", pattern):
            raise Problem(
                status=503,
                code="paused",
                detail=f"{pause} (since {pause.paused_at:%Y-%m-%d %H:%M:%S} UTC)."
                " What was accepted before goes on; try again later.",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )


def in_force(*, service: str) -> list[PausedSaga]:
    """What is paused, the first one first."""
    return _execute(
        service,
        """
        SELECT saga, saga_pattern, paused_by, reason, paused_at FROM {table}
        WHERE resumed_at IS NULL ORDER BY paused_at
        """,
    )


def pause(*, service: str, saga: str, pattern: str, by: str, reason: str) -> PausedSaga | Refused:
    """Accepts no more of it, in every pattern where none is named. Refused: already_paused."""
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
    """Accepts it again, in every pattern where none is named; what was paused. Refused: not_paused,
    also one pattern of a saga that is paused in all.
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
    """As this process knows it. The first one after a second looks; others wait for that look, so
    that none is accepted for what was seen long ago.
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
