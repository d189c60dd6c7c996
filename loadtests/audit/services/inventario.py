"""inventario: all stock is available, reserved or sold; nothing stays reserved."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.saga import Direction
from loadtests.audit.evidence import Evidence, Finding, RowSource, lines_of
from loadtests.audit.generic import effects_of, once_a_step
from loadtests.audit.reading import rows


class ReservationRow(NamedTuple):
    """A reservation; `lines`: as `1x2,3x1`."""

    saga_id: str
    step: str
    status: str
    lines: str


SOURCES = [
    RowSource(
        "inventario",
        ReservationRow,
        """
        SELECT saga_id, step, status,
               coalesce(string_agg(product_id::text || 'x' || quantity, ','
                                   ORDER BY product_id::text COLLATE "C"), '')
        FROM inventario_reservation AS reservation
        LEFT JOIN inventario_reservationline AS line ON line.reservation_id = reservation.id
        GROUP BY saga_id, reservation.id
        """,
    )
]

_STOCK = """
    WITH held AS (
        SELECT product_id,
               sum(quantity) FILTER (WHERE status = 'reserved') AS reserved,
               sum(quantity) FILTER (WHERE status = 'committed') AS sold
        FROM inventario_reservationline AS line
        JOIN inventario_reservation AS reservation ON reservation.id = reservation_id
        GROUP BY product_id
    )
    SELECT id, sku, initial, available, product.reserved, product.sold,
           coalesce(held.reserved, 0), coalesce(held.sold, 0)
    FROM inventario_product AS product LEFT JOIN held ON product_id = id
    WHERE initial <> available + product.reserved + product.sold
       OR least(available, product.reserved, product.sold) < 0
       OR product.reserved <> coalesce(held.reserved, 0)
       OR product.sold <> coalesce(held.sold, 0)
    ORDER BY id
"""


EFFECTS = effects_of(
    ReservationRow,
    {
        ("reservation", "inventario.reserve", Direction.DO): lambda row, step: row.step == step,
        ("sale", "inventario.commit", Direction.DO): lambda row, _: (
            row.status in ("committed", "restored")
        ),
        ("sale taken back", "inventario.commit", Direction.UNDO): lambda row, _: (
            row.status == "restored"
        ),
    },
)
COUNTED = [(1, "SELECT count(*) FROM inventario_product", "products: {}")]


def breaches(saga: Evidence) -> Iterator[Finding]:
    """1: nothing stays reserved for an ended saga. 4: the right lines are reserved. 6: once."""
    found = saga.of(ReservationRow)
    for reservation in found:
        if saga.is_over and reservation.status == "reserved":
            yield 1, f"has ended, but {reservation.lines} is still reserved for it"
    yield from once_a_step(saga, ReservationRow, "reservations")
    for step in saga.definition.steps if found else ():
        if step.operation != "inventario.reserve":
            continue
        of_step = [reservation.lines for reservation in found if reservation.step == step.name]
        wanted = saga.data.get(step.needs.get("items", "items"))
        if saga.data and wanted is not None and any(lines != lines_of(wanted) for lines in of_step):
            put = " and ".join(lines or "nothing" for lines in of_step)
            yield 4, f"{step.name} reserved {put}, not {lines_of(wanted)}"


def sums() -> Iterator[tuple[int, str, str]]:
    """1: all stock is available, reserved or sold, as the reservations have it."""
    for row in rows(service="inventario", statement=_STOCK):
        product_id, sku, initial, available, reserved, sold, held, bought = row
        yield (
            1,
            "",
            f"product {product_id} ({sku}): {initial} came in; {available} available"
            f" + {reserved} reserved + {sold} sold; its reservations hold {held}, sold {bought}",
        )


def sold(saga: Evidence, *, wanted: str) -> Iterator[Finding]:
    """4: an ended saga has sold these lines if it completed, else nothing."""
    held = [(reservation.status, reservation.lines) for reservation in saga.of(ReservationRow)]
    of_it = [sold_ for sold_ in held if sold_[0] == "committed"]
    if saga.is_completed and held != [("committed", wanted)]:
        yield 4, f"completed with {wanted}, but sold: {_listed(held)}"
    elif not saga.is_completed and of_it:
        yield 4, f"{saga.status}, but sold: {_listed(of_it)}"


def _listed(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{lines} {status}" for status, lines in pairs) or "nothing"
