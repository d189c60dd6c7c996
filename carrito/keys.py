"""The SQL of Idempotency-Keys: each is a user's, and stands for one checkout."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sagas import sql


@dataclass(frozen=True, kw_only=True)
class Key:
    """An Idempotency-Key of a user, the checkout that it stands for, and what was asked for."""

    user_id: str
    key: str
    saga_id: str
    fingerprint: str


def take(*, keys: Sequence[Key]) -> dict[str, Key]:
    """Takes the keys that are free; gives those that are not, by the saga id that asked for each.

    Waits for a transaction that has just taken one. Keys are taken in sorted order, and after the
    carts, so that two lists can't wait for each other.
    """
    if not keys:
        return {}
    wanted = sql.rows(map(asdict, keys))
    _execute(
        """
        INSERT INTO carrito_idempotencykey (user_id, key, saga_id, fingerprint)
        SELECT user_id, key, saga_id, fingerprint
        FROM json_to_recordset(%s)
             AS v (user_id text, key text, saga_id text, fingerprint text)
        ORDER BY user_id COLLATE "C", key COLLATE "C"
        ON CONFLICT (user_id, key) DO NOTHING
        """,
        [wanted],
    )
    rows = _execute(
        """
        SELECT v.saga_id, held.user_id, held.key, held.saga_id, held.fingerprint
        FROM json_to_recordset(%s) AS v (user_id text, key text, saga_id text)
        JOIN carrito_idempotencykey AS held USING (user_id, key)
        WHERE v.saga_id <> held.saga_id
        """,
        [wanted],
    )
    return {
        row[0]: Key(user_id=row[1], key=row[2], saga_id=row[3], fingerprint=row[4]) for row in rows
    }


def free(*, saga_ids: Sequence[str]) -> None:
    """Frees the keys of these again: nothing of them was accepted."""
    if saga_ids:
        _execute("DELETE FROM carrito_idempotencykey WHERE saga_id = ANY(%s)", [list(saga_ids)])


def _execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return sql.execute(service="carrito", sql=statement, values=values)
