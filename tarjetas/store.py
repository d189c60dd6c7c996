"""What tarjetas stores, and all its SQL: set-based, one statement for a whole list, in the order
of keys.

Of two calls with one key the second waits at the first one's row, or at its index entry until it
commits, and then sees its result. Times are the database's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Now

from participant import sql
from tarjetas.models import Charge, ChargeStatus

_execute = sql.of("tarjetas")


@dataclass(frozen=True)
class LockedCharge:
    """A charge whose row is locked.

    `seconds`: until its card answers; 0 afterwards. `is_current`: the key belongs to it;
    `is_over`: the key's time is over.
    """

    id: int
    key: str
    amount: Decimal
    fingerprint: str
    status: ChargeStatus
    code: str
    detail: str
    seconds: float
    is_current: bool
    is_over: bool


_FIELDS = """
    id, key, amount, fingerprint, status, code, detail,
    greatest(extract(epoch FROM answers_at - now()), 0)::float8, past = 0, key_until <= now()
"""


def add_charges(*, charges: Iterable[Mapping[str, Any]]) -> list[LockedCharge]:
    """Writes the charges whose key is free, in the order of their keys, and returns them.

    Fields: key, saga_id, saga, amount, payment_method, fingerprint, status, code, detail;
    `seconds`: how long the card takes; `key_seconds`: how long the key belongs to the charge.
    """
    rows = _execute(
        f"""
        INSERT INTO tarjetas_charge
               (key, saga_id, saga, amount, payment_method, fingerprint, status, code, detail,
                answers_at, key_until)
        SELECT key, saga_id, saga, amount, payment_method, fingerprint, status, code, detail,
               now() + make_interval(secs => seconds), now() + make_interval(secs => key_seconds)
        FROM json_to_recordset(%s)
             AS v (key text, saga_id text, saga text, amount numeric, payment_method text,
                   fingerprint text, status text, code text, detail text, seconds float8,
                   key_seconds float8)
        ON CONFLICT (key, past) DO NOTHING
        RETURNING {_FIELDS}
        """,
        [sql.rows(sorted(charges, key=lambda charge: charge["key"]))],
    )
    return [_read(row) for row in rows]


def lock(*, keys: Iterable[str]) -> list[LockedCharge]:
    """Locks every charge under these keys, also past charges of a key.

    By id within a key: a call that has waited for a charge whose key was freed meanwhile holds that
    lock when it comes to the key's new charge.
    """
    rows = _execute(
        f"""
        SELECT {_FIELDS} FROM tarjetas_charge WHERE key = ANY(%s)
        ORDER BY key, id FOR NO KEY UPDATE
        """,
        [sorted(keys)],
    )
    return [_read(row) for row in rows]


def mark(*, charges: Sequence[LockedCharge], status: ChargeStatus) -> None:
    """Sets the status of locked charges."""
    if charges:
        _execute(
            """
            UPDATE tarjetas_charge
            SET status = %(status)s::text,
                refunded_at = CASE %(status)s::text WHEN 'refunded' THEN clock_timestamp() END
            WHERE id = ANY(%(ids)s)
            """,
            {"status": status.value, "ids": [charge.id for charge in charges]},
        )


def free_keys(*, charges: Sequence[LockedCharge]) -> None:
    """Frees the keys of these charges; the charges stay."""
    if charges:
        _execute(
            "UPDATE tarjetas_charge SET past = id WHERE id = ANY(%s)",
            [[charge.id for charge in charges]],
        )


def _read(row: tuple[Any, ...]) -> LockedCharge:
    status = sql.status_of(f"Charge {row[1]}", kind=ChargeStatus, stored=row[4])
    return LockedCharge(*(*row[:4], status, *row[5:]))


# Queries.


def charges(*, saga_id: str = "") -> QuerySet[Charge]:
    """All charges (of a saga), newest first, with their current status as `stands`."""
    is_due = When(
        status=ChargeStatus.PROCESSING, answers_at__lte=Now(), then=Value(ChargeStatus.CAPTURED)
    )
    found = Charge.objects.annotate(stands=Case(is_due, default=F("status"))).order_by("-id")
    return found.filter(saga_id=saga_id) if saga_id else found


def charge(*, key: str) -> Charge | None:
    """The charge to which this key belongs."""
    return charges().filter(key=key, past=0).first()
