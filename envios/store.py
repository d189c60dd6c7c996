"""What envios stores, and all its SQL: rows locked in a fixed order, written set-based.

Order of locks: deliveries by saga id and step, then couriers by id.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import QuerySet

from contracts import bounds
from envios.models import Courier, Delivery, DeliveryStatus
from participant import sql
from participant.models import owned_by

_execute = sql.of("envios")

Key = tuple[str, str]
"""A saga's id and a step: a saga may have several deliveries."""


class Area(NamedTuple):
    """The area of a destination, compared case-insensitively. Empty: not named."""

    province: str
    city: str


@dataclass(frozen=True, kw_only=True)
class LockedCourier:
    """A free courier whose row is locked. `places`: how many deliveries it can take; `areas`: the
    requested areas that it serves.
    """

    id: int
    places: int
    areas: Collection[Area]


@dataclass(frozen=True, kw_only=True)
class NewDelivery:
    """A delivery to be written."""

    saga_id: str
    step: str
    subject: str
    user_id: str
    courier_id: int
    destination: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class LockedDelivery:
    """A delivery whose row is locked."""

    id: int
    key: Key
    courier_id: int
    status: DeliveryStatus

    @property
    def is_open(self) -> bool:
        """Whether it takes a place of its courier's capacity."""
        return self.status in (DeliveryStatus.SCHEDULED, DeliveryStatus.IN_TRANSIT)


_SERVES = """
    lower(courier.province) = lower(v.province)
    AND (courier.city = '' OR lower(courier.city) = lower(v.city))
"""


def lock_free_couriers(*, areas: Collection[Area]) -> list[LockedCourier]:
    """Locks the couriers that serve any of these areas and have a place left, by id."""
    numbered = sorted(areas)
    rows = _execute(
        f"""
        SELECT courier.id, courier.capacity - courier.busy, serves.numbers
        FROM envios_courier AS courier CROSS JOIN LATERAL (
            SELECT array_agg(v.number) AS numbers
            FROM json_to_recordset(%s) AS v (number int, province text, city text)
            WHERE {_SERVES}
        ) AS serves
        WHERE courier.busy < courier.capacity AND serves.numbers IS NOT NULL
        ORDER BY courier.id FOR NO KEY UPDATE OF courier
        """,
        [_areas(numbered)],
    )
    return [
        LockedCourier(id=row[0], places=row[1], areas={numbered[number] for number in row[2]})
        for row in rows
    ]


def served(*, areas: Collection[Area]) -> set[Area]:
    """The areas that a courier serves, free or not."""
    numbered = sorted(areas)
    rows = _execute(
        f"""
        SELECT v.number FROM json_to_recordset(%s) AS v (number int, province text, city text)
        WHERE EXISTS (SELECT FROM envios_courier AS courier WHERE {_SERVES})
        """,
        [_areas(numbered)],
    )
    return {numbered[row[0]] for row in rows}


def add_deliveries(*, deliveries: Sequence[NewDelivery]) -> dict[Key, int]:
    """Writes the deliveries, each with a courier whose row is locked; returns their ids."""
    rows = _execute(
        """
        WITH given AS (
            SELECT * FROM json_to_recordset(%s)
                     AS v (saga_id text, step text, subject text, user_id text,
                           courier_id bigint, destination jsonb)
        ), taken AS (
            UPDATE envios_courier AS courier SET busy = courier.busy + v.count
            FROM (SELECT courier_id, count(*) FROM given GROUP BY courier_id) AS v
            WHERE courier.id = v.courier_id
        )
        INSERT INTO envios_delivery
               (saga_id, step, subject, user_id, courier_id, destination, status)
        SELECT saga_id, step, subject, user_id, courier_id, destination, 'scheduled' FROM given
        RETURNING saga_id, step, id
        """,
        [sql.as_json(deliveries)],
    )
    return {(saga_id, step): row_id for saga_id, step, row_id in rows}


def lock_deliveries(*, keys: Iterable[Key]) -> dict[Key, LockedDelivery]:
    """The deliveries of these steps."""
    rows = _execute(
        """
        SELECT delivery.id, delivery.saga_id, delivery.step, courier_id, delivery.status
        FROM json_to_recordset(%s) AS v (saga_id text, step text)
        JOIN envios_delivery AS delivery USING (saga_id, step)
        ORDER BY delivery.saga_id, delivery.step FOR NO KEY UPDATE OF delivery
        """,
        [sql.rows({"saga_id": saga_id, "step": step} for saga_id, step in keys)],
    )
    return {(row[1], row[2]): _locked(*row) for row in rows}


def cancel(*, deliveries: Sequence[LockedDelivery], reasons: Mapping[Key, str]) -> None:
    """Cancels locked deliveries (`reasons` by key), and frees their couriers' places; locks the
    couriers in order.
    """
    _execute(
        """
        WITH given AS MATERIALIZED (
            SELECT * FROM json_to_recordset(%s)
                     AS v (id bigint, courier_id bigint, is_open boolean, reason text)
        ), marked AS (
            UPDATE envios_delivery AS delivery
            SET status = 'cancelled', cancelled_because = given.reason,
                cancelled_at = clock_timestamp()
            FROM given WHERE delivery.id = given.id
        ), freed AS MATERIALIZED (
            SELECT courier_id AS id, count(*) FROM given WHERE is_open GROUP BY courier_id
        ), locked AS MATERIALIZED (
            SELECT id FROM envios_courier WHERE id IN (SELECT id FROM freed)
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE envios_courier AS courier SET busy = courier.busy - freed.count
        FROM locked JOIN freed USING (id) WHERE courier.id = locked.id
        """,
        [
            sql.rows(
                {
                    "id": delivery.id,
                    "courier_id": delivery.courier_id,
                    "is_open": delivery.is_open,
                    "reason": reasons[delivery.key][:64],
                }
                for delivery in deliveries
            )
        ],
    )


def _areas(numbered: Sequence[Area]) -> str:
    return sql.rows({"number": number, **area._asdict()} for number, area in enumerate(numbered))


def _locked(row_id: int, saga_id: str, step: str, courier_id: int, status: str) -> LockedDelivery:
    row = f"Delivery {row_id} of saga {saga_id}"
    known = sql.status_of(row, kind=DeliveryStatus, stored=status)
    return LockedDelivery(id=row_id, key=(saga_id, step), courier_id=courier_id, status=known)


# Queries.


def couriers() -> QuerySet[Courier]:
    """All couriers, by id."""
    return Courier.objects.order_by("id")


def deliveries(*, subject: str = "") -> QuerySet[Delivery]:
    """The deliveries (of an order), with their couriers, newest first."""
    found = Delivery.objects.select_related("courier").order_by("-id")
    return found.filter(subject=subject) if subject else found


def delivery(*, delivery_id: str, user_id: str | None = None) -> Delivery | None:
    """The delivery with this id. `user_id`: whose it must be."""
    mine = deliveries().filter(owned_by(user_id))
    return mine.filter(pk=bounds.number_in(delivery_id) or 0).first()
