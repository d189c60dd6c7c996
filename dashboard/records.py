"""The rows of a saga at its owner, its coordinator and each participant; and the sagas that belong
to an id of any kind.

A record is a row: its fields have the columns' names, and `service` is the service that has it.
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
"""The most sagas that a search for a cart, an order or a user finds, the newest."""
_CALL = (
    "name, status, do_attempts, undo_attempts, started_at, finished_at, undone_at, error,"
    " response_data"
)


def accepted(saga_ids: Sequence[str]) -> dict[str, Record]:
    """The owners' rows of these sagas, by id."""
    found = (
        row
        for service, table in owners().items()
        for row in _read(service, table, _ACCEPTED, saga_ids)
    )
    return {row.saga_id: row for row in found}


def noted(saga: Saga, saga_ids: Sequence[str]) -> list[Record]:
    """The barriers' rows of these sagas: each service's outcome of each step, in order of time."""
    found = [
        row
        for service in _participants(saga)
        for row in _read(service, f"{service}_barrierentry", _NOTED, saga_ids)
    ]
    return sorted(found, key=lambda row: row.entered_at)


def asked(saga: Saga, saga_id: str) -> list[Record]:
    """The decisions for which its steps have waited, of people or systems."""
    return [
        row
        for service in _participants(saga)
        if "decision" in apps.all_models[service]
        for row in _read(service, f"{service}_decision", _ASKED, [saga_id])
    ]


def failed_messages(saga: Saga, saga_id: str) -> list[Record]:
    """The saga's messages whose handling failed: retrying, or dead letters."""
    columns = "event_type, status, reason"
    rest = "AND status IN ('retrying', 'dead_lettered')"
    return [
        row
        for service in _participants(saga)
        for row in _read(service, f"{service}_failedmessage", columns, [saga_id], rest)
    ]


def calls(saga_id: str) -> list[Record]:
    """The coordinator's record of each step; empty for a choreographed saga."""
    return [
        row
        for service in sorted(CONDUCTORS)
        for row in _read(service, f"{service}_sagastep", _CALL, [saga_id], "ORDER BY position")
    ]


def interventions(pattern: str, saga_id: str) -> list[Record]:
    """The interventions in the saga."""
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
"""The queries that find the sagas of a cart, an order, a payment or a user. An order of pedidos and
a booking have their saga's id.
"""


def named_by(q: str, *, look: int) -> list[str]:
    """The ids of sagas that a text names: the beginning of a saga's id, or the whole id of
    something else. Users without an index are searched among the `look` newest rows of an owner.
    """
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
    """The id of a product with so many pieces available."""
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
    """The table of accepted sagas of every owner here, by service."""
    return {
        service: model._meta.db_table
        for service in dict.fromkeys(saga.owner for saga in SAGAS.values())
        if service in settings.SERVICE_URLS
        for model in apps.get_app_config(service).get_models()
        if issubclass(model, AcceptedSaga)
    }


def _participants(saga: Saga) -> list[str]:
    services = dict.fromkeys(step.service for step in saga.steps)
    return [service for service in services if service in settings.SERVICE_URLS]
