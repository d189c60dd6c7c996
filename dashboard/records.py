"""One saga, as everybody has noted it: its owner, its coordinator, each service that takes part;
and which sagas an id of anything leads to.

A record is a row, its fields called as the columns, and `service`: whose it is.
"""

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace as Record
from typing import Any

from django.apps import apps
from django.conf import settings

from catalogue.services import COORDINATORS
from contracts.patterns import CONDUCTORS, PATTERNS
from contracts.saga import SAGAS, Saga
from coordination.models import AcceptedSaga
from participant import sql

_ACCEPTED = (
    "saga_id, saga, saga_pattern, status, context->>'subject' AS subject, total_amount,"
    " failure_step, failure_code, accepted_at, handed_over_at, ended_at, dead_letter_reason,"
    " context, context->>'traceparent' AS traceparent, statement_timestamp() AS read_at"
)
_NOTED = "saga_id, step, direction, status, code, detail, data, entered_at, decided_at"
_ASKED = "step, decided_by, opened_at, until, verdict, by, reason, decided_at, closed_at"
MOST_FOUND = 200
"""Sagas that a search for a cart, an order or a user names, the newest."""
_CALL = (
    "name, status, do_attempts, undo_attempts, started_at, finished_at, undone_at, error,"
    " response_data"
)


def accepted(saga_ids: Sequence[str]) -> dict[str, Record]:
    """What owners have accepted, by id."""
    found = (
        row
        for service, table in owners().items()
        for row in _read(service, table, _ACCEPTED, saga_ids)
    )
    return {row.saga_id: row for row in found}


def noted(page: Saga, saga_ids: Sequence[str]) -> list[Record]:
    """What each service has answered for each step (rows of the barriers), as it happened."""
    found = [
        row
        for service in _participants(page)
        for row in _read(service, f"{service}_barrierentry", _NOTED, saga_ids)
    ]
    return sorted(found, key=lambda row: row.entered_at)


def asked(page: Saga, saga_id: str) -> list[Record]:
    """What its steps have asked a person or a system."""
    return [
        row
        for service in _participants(page)
        if "decision" in apps.all_models[service]
        for row in _read(service, f"{service}_decision", _ASKED, [saga_id])
    ]


def failed_messages(page: Saga, saga_id: str) -> list[Record]:
    """Those of it that a service can't handle: they are retried, or wait for a person."""
    columns = "event_type, status, reason"
    rest = "AND status IN ('retrying', 'dead_lettered')"
    return [
        row
        for service in _participants(page)
        for row in _read(service, f"{service}_failedmessage", columns, [saga_id], rest)
    ]


def calls(saga_id: str) -> list[Record]:
    """What who conducts it has asked for each step; none of a choreographed saga."""
    return [
        row
        for service in sorted(CONDUCTORS)
        for row in _read(service, f"{service}_sagastep", _CALL, [saga_id], "ORDER BY position")
    ]


def interventions(pattern: str, saga_id: str) -> list[Record]:
    """What people have asked of it."""
    if pattern not in PATTERNS:
        return []
    service = PATTERNS[pattern].coordinator
    columns = "requested_at, action, requested_by, reason"
    return _read(service, f"{service}_intervention", columns, [saga_id], "ORDER BY id")


_NAMED_BY = (
    ("carrito", "SELECT saga_id FROM carrito_checkout WHERE cart_id = %(q)s"),
    ("carrito", "SELECT saga_id FROM carrito_order WHERE id = %(q)s"),
    ("pagos", "SELECT saga_id FROM pagos_payment WHERE id = %(q)s AND saga_id IS NOT NULL"),
    (
        "carrito",
        "SELECT saga_id FROM carrito_checkout WHERE cart_id = ANY(ARRAY(SELECT id FROM carrito_cart"
        f" WHERE user_id = %(q)s ORDER BY created_at DESC LIMIT {MOST_FOUND}))",
    ),
    *(
        (
            table.partition("_")[0],
            f"SELECT saga_id FROM (SELECT saga_id, user_id, accepted_at FROM {table}"
            f" ORDER BY accepted_at DESC LIMIT %(look)s) AS newest"
            f" WHERE user_id = %(q)s ORDER BY accepted_at DESC LIMIT {MOST_FOUND}",
        )
        for table in ("pedidos_order", "reservas_booking")
    ),
)
"""Who knows which sagas a cart, an order, a payment or a user has had; an order of pedidos, and a
booking, has its saga's id."""


def named_by(q: str, *, look: int) -> list[str]:
    """The ids of sagas that a text names: the beginning of an id, or all of another's. A user whom
    no index finds is looked for among so many of an owner's newest."""
    start = q.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    ids: list[str] = []
    for service in COORDINATORS:
        rows = sql.execute(
            service=service,
            sql=f"SELECT saga_id FROM {service}_saga WHERE saga_id LIKE %s LIMIT {MOST_FOUND}",
            values=[start],
        )
        ids += [row[0] for row in rows]
    for service, statement in _NAMED_BY:
        if service in settings.SERVICE_URLS:
            ids += [
                row[0]
                for row in sql.execute(
                    service=service, sql=statement, values={"q": q, "look": look}
                )
            ]
    return list(dict.fromkeys(ids))


def product_in_stock(*, pieces: int) -> str | None:
    """The id of a product of which there are so many."""
    rows = sql.execute(
        service="inventario",
        sql="SELECT id::text FROM inventario_product WHERE available >= %s ORDER BY id LIMIT 1",
        values=[pieces],
    )
    return str(rows[0][0]) if rows else None


def _read(
    service: str, table: str, columns: str, saga_ids: Sequence[str], rest: str = ""
) -> list[Record]:
    names = [column.split()[-1] for column in columns.split(",")]
    rows: list[Any] = sql.execute(
        service=service,
        sql=f"SELECT {columns} FROM {table} WHERE saga_id = ANY(%s) {rest}",
        values=[list(saga_ids)],
    )
    return [Record(service=service, **dict(zip(names, row, strict=True))) for row in rows]


@cache
def owners() -> dict[str, str]:
    """Table by service, of every owner here: what it has accepted."""
    return {
        service: model._meta.db_table
        for service in dict.fromkeys(page.owner for page in SAGAS.values())
        if service in settings.SERVICE_URLS
        for model in apps.get_app_config(service).get_models()
        if issubclass(model, AcceptedSaga)
    }


def _participants(page: Saga) -> list[str]:
    services = dict.fromkeys(step.service for step in page.steps)
    return [service for service in services if service in settings.SERVICE_URLS]
