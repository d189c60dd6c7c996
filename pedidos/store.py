"""What pedidos stores, and all its SQL: set-based, one statement for a whole batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from contracts.outcomes import Failure
from contracts.saga import Context
from coordination.store import SETTLED, ended_columns, ended_row, row_of, tell_ended
from participant import sql
from participant.models import owned_by
from pedidos.models import Address, Order, OrderStatus

_execute = sql.of("pedidos")


@dataclass(frozen=True, kw_only=True)
class PricedOrder:
    """An order to be recorded. `context`: as its saga's steps see it; `items`: with the products'
    names.
    """

    context: Context
    user_id: str
    items: Sequence[Mapping[str, Any]]
    total_amount: Decimal
    destination: Mapping[str, str]


def add_orders(*, orders: Sequence[PricedOrder]) -> None:
    """Records the orders, pending. A choreographed saga is running: its first event starts it."""
    if not orders:
        return
    _execute(
        """
        WITH given AS (
            SELECT * FROM json_to_recordset(%s)
                     AS v (saga_id text, saga text, saga_pattern text, context jsonb, user_id text,
                           items jsonb, total_amount numeric, destination jsonb, runs boolean)
        ), kept AS (
            INSERT INTO pedidos_address (saga_id, address)
            SELECT saga_id, destination FROM given WHERE destination <> '{}'
        )
        INSERT INTO pedidos_order
               (saga_id, saga, saga_pattern, context, user_id, items, total_amount,
                order_status, status, failure_step, failure_code, failure_detail, accepted_at)
        SELECT saga_id, saga, saga_pattern, context, user_id, items, total_amount,
               'pending', CASE WHEN runs THEN 'running' ELSE 'pending' END, '', '', '',
               clock_timestamp()
        FROM given
        """,
        [
            sql.rows(
                {
                    **row_of(order.context),
                    "user_id": order.user_id,
                    "items": order.items,
                    "total_amount": order.total_amount,
                    "destination": order.destination,
                }
                for order in orders
            )
        ],
    )


def totals(*, saga_ids: Sequence[str]) -> dict[str, Decimal]:
    """The agreed totals of these orders, which never change."""
    return dict(
        _execute(
            "SELECT saga_id, total_amount FROM pedidos_order WHERE saga_id = ANY(%s)",
            [list(saga_ids)],
        )
    )


def confirm_orders(*, saga_ids: Sequence[str]) -> dict[str, datetime]:
    """Confirms pending orders; returns the time of each, by saga id."""
    return dict(
        _execute(
            """
            UPDATE pedidos_order SET order_status = 'confirmed', confirmed_at = clock_timestamp()
            WHERE saga_id = ANY(%s) AND order_status = 'pending'
            RETURNING saga_id, confirmed_at
            """,
            [list(saga_ids)],
        )
    )


def unconfirm_orders(*, saga_ids: Sequence[str]) -> None:
    """Takes confirmations back; an order that has been dispatched (a return) keeps its status."""
    _execute(
        """
        UPDATE pedidos_order
        SET order_status = CASE order_status WHEN 'confirmed' THEN 'pending' ELSE order_status END,
            unconfirmed_at = clock_timestamp()
        WHERE saga_id = ANY(%s)
        """,
        [list(saga_ids)],
    )


def complete_orders(
    *, saga_ids: Sequence[str], before: OrderStatus, after: OrderStatus
) -> dict[str, datetime]:
    """Ends the orders of status `before` with success; returns the time of each, by saga id."""
    rows = _execute(
        f"""
        UPDATE pedidos_order
        SET order_status = %s, status = 'completed', ended_at = clock_timestamp(), {SETTLED}
        WHERE saga_id = ANY(%s) AND order_status = %s
        RETURNING ended_at, {ended_columns("pedidos_order")}
        """,
        [after.value, list(saga_ids), before.value],
    )
    tell_ended(service="pedidos", ended=[row[1:] for row in rows])
    return {row[1]: row[0] for row in rows}


def end_orders(*, failures: Mapping[str, Failure], statuses: Mapping[str, OrderStatus]) -> None:
    """Ends the orders without success, also completed orders (a return)."""
    ended = _execute(
        f"""
        UPDATE pedidos_order AS placed
        SET order_status = v.order_status, status = v.status, failure_step = v.step,
            failure_code = v.code, failure_detail = v.detail, ended_at = clock_timestamp(),
            {SETTLED}
        FROM json_to_recordset(%s)
             AS v (saga_id text, order_status text, status text, step text, code text, detail text)
        WHERE placed.saga_id = v.saga_id
        RETURNING {ended_columns("placed")}
        """,
        [
            sql.rows(
                {**ended_row(saga_id, failure), "order_status": statuses[saga_id].value}
                for saga_id, failure in failures.items()
            )
        ],
    )
    tell_ended(service="pedidos", ended=ended)


# Queries.


def order(*, order_id: str, user_id: str | None = None) -> Order | None:
    """The order with this id. `user_id`: whose it must be."""
    return _with_addresses().filter(owned_by(user_id), pk=order_id).first()


def _with_addresses() -> QuerySet[Order]:
    """Orders with their `address`: None if it is not known, or not any more."""
    known = Address.objects.filter(saga_id=OuterRef("pk")).values("address")
    return Order.objects.annotate(address=Subquery(known))


def orders(*, user_id: str = "", status: str = "") -> QuerySet[Order]:
    """The orders (of a user, of a status), newest first."""
    found = _with_addresses().order_by("-accepted_at", "-saga_id")
    if user_id:
        found = found.filter(user_id=user_id)
    return found.filter(order_status=status) if status else found
