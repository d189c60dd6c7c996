"""What the services' tables say of each saga: the SQL, and a row of each as a plain value.

Money comes in cents and times in epoch seconds, so that Python compares plain numbers. Each
statement orders by saga id, which is collated "C" everywhere: in Python's own order of strings.
"""

from typing import NamedTuple


class Checkout(NamedTuple):
    """carrito: a checkout with its order. `lines`: as `1x2,3x1`; `priced`: what they come to, None
    where a line can't be read. `aside`: why it is set aside and not handed over, or empty.
    """

    saga_id: str
    cart_id: str
    pattern: str
    status: str
    total: int
    priced: int | None
    lines: str
    failure_step: str
    accepted_at: float
    handed_over_at: float | None
    ended_at: float | None
    order_id: str | None
    order_status: str | None
    order_total: int | None
    ordered_at: float | None
    confirmed_at: float | None
    cancelled_at: float | None
    aside: str = ""


class Payment(NamedTuple):
    """pagos: a payment with its refund."""

    saga_id: str
    payment_id: str
    status: str
    amount: int
    refunded: int | None


class Reservation(NamedTuple):
    """inventario: a reservation with its lines, as `1x2,3x1`."""

    saga_id: str
    status: str
    lines: str


class Entry(NamedTuple):
    """The barrier of a service: what it answered for a step in one direction."""

    saga_id: str
    step: str
    direction: str
    status: str | None
    code: str
    is_nothing: bool
    decided_at: float | None


class Run(NamedTuple):
    """A coordinator's saga. `parked`: why; `asked`: what people asked of it."""

    saga_id: str
    service: str
    status: str
    step: str
    parked: str
    cart_id: str
    total: int
    started_at: float
    finished_at: float | None
    asked: str


class Asked(NamedTuple):
    """What the orchestrator has asked for by message, of a saga that goes so. `requests`: by type,
    as `a,b`.
    """

    saga_id: str
    requests: str


# Lines that somebody has damaged are told, and stop no audit of the others.
CHECKOUTS = """
    SELECT checkout.saga_id, checkout.cart_id, saga_pattern, checkout.status,
           (checkout.total_amount * 100)::bigint,
           (SELECT sum((line ->> 'quantity')::numeric * (line ->> 'unit_price')::numeric) * 100
            FROM jsonb_array_elements(readable) AS line),
           (SELECT string_agg((line ->> 'product_id') || 'x' || (line ->> 'quantity'), ','
                              ORDER BY (line ->> 'product_id') COLLATE "C")
            FROM jsonb_array_elements(readable) AS line),
           failure_step,
           extract(epoch FROM accepted_at)::float8, extract(epoch FROM handed_over_at)::float8,
           extract(epoch FROM ended_at)::float8,
           placed.id, placed.status, (placed.total_amount * 100)::bigint,
           extract(epoch FROM placed.created_at)::float8,
           extract(epoch FROM confirmed_at)::float8, extract(epoch FROM cancelled_at)::float8,
           CASE WHEN set_aside_at IS NULL THEN '' ELSE set_aside_reason END
    FROM (
        SELECT *, CASE WHEN jsonb_typeof(items) = 'array' AND NOT jsonb_path_exists(items, '$[*] ? (
            !(@.quantity.type() == "number" && @.unit_price like_regex "^[0-9]{1,12}([.][0-9]+)?$")
        )') THEN items END AS readable
        FROM carrito_checkout
    ) AS checkout
    LEFT JOIN carrito_order AS placed ON placed.saga_id = checkout.saga_id
    WHERE %(saga)s::text IS NULL OR checkout.saga_id = %(saga)s
    ORDER BY checkout.saga_id
"""

PAYMENTS = """
    SELECT payment.saga_id, payment.id, status, (payment.amount * 100)::bigint,
           (refund.amount * 100)::bigint
    FROM pagos_payment AS payment
    LEFT JOIN pagos_refund AS refund ON refund.payment_id = payment.id
    WHERE payment.saga_id IS NOT NULL AND (%(saga)s::text IS NULL OR payment.saga_id = %(saga)s)
    ORDER BY payment.saga_id
"""

RESERVATIONS = """
    SELECT saga_id, status,
           string_agg(product_id::text || 'x' || quantity, ','
                      ORDER BY product_id::text COLLATE "C")
    FROM inventario_reservation AS reservation
    LEFT JOIN inventario_reservationline AS line ON line.reservation_id = reservation.id
    WHERE %(saga)s::text IS NULL OR saga_id = %(saga)s
    GROUP BY reservation.id ORDER BY saga_id
"""

BARRIER = """
    SELECT saga_id, step, direction, status, code, data ? 'nothing_to_undo',
           extract(epoch FROM decided_at)::float8
    FROM {service}_barrierentry
    WHERE %(saga)s::text IS NULL OR saga_id = %(saga)s
    ORDER BY saga_id
"""

ORCHESTRATED = """
    SELECT saga_id, 'saga_orchestrator', status, current_step, parked_reason, cart_id,
           ((context ->> 'total_amount')::numeric * 100)::bigint,
           extract(epoch FROM started_at)::float8, extract(epoch FROM finished_at)::float8,
           (SELECT coalesce(string_agg(action, ','), '')
            FROM saga_orchestrator_intervention AS asked WHERE asked.saga_id = saga.saga_id)
    FROM saga_orchestrator_saga AS saga
    WHERE %(saga)s::text IS NULL OR saga_id = %(saga)s
    ORDER BY saga_id
"""

# Young ones only: what was sent is kept for six hours.
ASKED = """
    SELECT saga.saga_id, coalesce(string_agg(DISTINCT event_type, ','), '')
    FROM saga_orchestrator_saga AS saga
    LEFT JOIN saga_orchestrator_outboxentry AS said ON said.saga_id = saga.saga_id
    WHERE pattern = 'orchestrated_messaging' AND started_at > now() - interval '5 hours'
      AND (%(saga)s::text IS NULL OR saga.saga_id = %(saga)s)
    GROUP BY saga.saga_id ORDER BY saga.saga_id
"""

CHOREOGRAPHED = """
    SELECT saga_id, 'saga_choreography', status, parked_step, parked_reason, cart_id,
           (total_amount * 100)::bigint,
           extract(epoch FROM started_at)::float8, extract(epoch FROM finished_at)::float8,
           (SELECT coalesce(string_agg(action, ','), '')
            FROM saga_choreography_intervention AS asked WHERE asked.saga_id = saga.saga_id)
    FROM saga_choreography_saga AS saga
    WHERE %(saga)s::text IS NULL OR saga_id = %(saga)s
    ORDER BY saga_id
"""
