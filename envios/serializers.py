"""Couriers and deliveries as the API shows and receives them."""

from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from contracts.bounds import MOST_ID, MOST_QUANTITY, Asked, Name, Time, words
from envios.models import Courier, Delivery, DeliveryStatus
from httpapi import pages

PhoneNumber = Annotated[str, Meta(max_length=MOST_ID)]
Place = Annotated[str, Meta(max_length=200)]


class NewCourier(msgspec.Struct, frozen=True, kw_only=True):
    """A courier to be added. Without a city it serves all of the province; without a province the
    destinations that name none.
    """

    name: Name
    phone_number: PhoneNumber = ""
    province: Place = ""
    city: Place = ""
    capacity: Annotated[int, Meta(ge=0, le=MOST_QUANTITY)] = 1


class DeliveryFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which deliveries to list: `?order_id=`, with the parameters of every page."""

    order_id: Asked | None = None


class CourierShown(TypedDict):
    """A courier. `deliveries`: how many it has to make now."""

    id: str
    name: str
    phone_number: str
    province: str
    city: str
    capacity: int
    deliveries: int
    is_free: bool
    created_at: Time


class CourierNamed(TypedDict):
    id: str
    name: str


class DeliveryShown(TypedDict):
    """A delivery, with its courier."""

    id: str
    saga_id: str
    step: str
    subject: str
    order_id: str
    status: Annotated[str, words(DeliveryStatus)]
    courier: CourierNamed
    destination: dict[str, str]
    created_at: Time
    delivered_at: Time | None
    cancelled_at: Time | None
    cancelled_because: str | None


class DeliveriesPage(pages.PageFields):
    """A page of deliveries; `deliveries`: the same by order."""

    results: list[DeliveryShown]
    deliveries: dict[str, DeliveryShown]
    total: int


def courier(row: Courier) -> CourierShown:
    """A courier. `deliveries`: how many it has to make now."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "phone_number": row.phone_number,
        "province": row.province,
        "city": row.city,
        "capacity": row.capacity,
        "deliveries": row.busy,
        "is_free": row.busy < row.capacity,
        "created_at": row.created_at,
    }


def delivery(row: Delivery) -> DeliveryShown:
    """A delivery, with its courier. `order_id` is its subject."""
    return {
        "id": str(row.pk),
        "saga_id": row.saga_id,
        "step": row.step,
        "subject": row.subject,
        "order_id": row.subject,
        "status": row.status,
        "courier": {"id": str(row.courier_id), "name": row.courier.name},
        "destination": row.destination,
        "created_at": row.created_at,
        "delivered_at": row.delivered_at,
        "cancelled_at": row.cancelled_at,
        "cancelled_because": row.cancelled_because or None,
    }
