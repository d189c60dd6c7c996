"""The operations of envios: in a saga (schedule, cancel), and outside of sagas (move_on)."""

import hashlib
from collections.abc import Mapping, Sequence

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from catalogue import refusals
from catalogue.commands import Schedule
from contracts.outcomes import Done, Outcome, Refused
from contracts.saga import Undo
from envios import store
from envios.models import Courier, Delivery, DeliveryStatus
from envios.store import Area, Key, LockedCourier, NewDelivery
from participant.operations import does, undoes

SERVICE = "envios"
DELIVERY_CANCELLED, DELIVERED_ALREADY = "delivery_cancelled", "delivered_already"


@does(service=SERVICE)
def schedule(commands: Sequence[Schedule]) -> list[Outcome]:
    """Gives each delivery to a free courier of its destination's area. Refused: area_not_served,
    no_courier_free.
    """
    wanted = {(command.saga_id, schedule.step_of(command)): command for command in commands}
    areas = {key: area_of(command.destination) for key, command in wanted.items()}
    served = {key: area for key, area in areas.items() if not is_failing(saga_id=key[0])}
    couriers = store.lock_free_couriers(areas=set(served.values()))
    chosen = decide_schedule(wanted=served, couriers=couriers)
    deliveries = [
        NewDelivery(
            saga_id=key[0],
            step=key[1],
            subject=wanted[key].subject,
            user_id=wanted[key].user_id,
            courier_id=courier_id,
            destination=wanted[key].destination,
        )
        for key, courier_id in chosen.items()
    ]
    ids = store.add_deliveries(deliveries=deliveries) if deliveries else {}
    refused = _refusals({key: area for key, area in areas.items() if key not in ids})
    return [refused.get(key) or _scheduled(ids[key], chosen[key]) for key in wanted]


@undoes(schedule)
def cancel(commands: Sequence[Undo]) -> list[Outcome]:
    """Cancels the step's delivery, also if it was made (a return); its courier is free again."""
    reasons = {(command.saga_id, cancel.step_of(command)): command.reason for command in commands}
    locked = store.lock_deliveries(keys=reasons)
    store.cancel(deliveries=list(locked.values()), reasons=reasons)
    return [Done({"delivery_id": str(locked[key].id), "status": "cancelled"}) for key in reasons]


def move_on(*, delivery_id: int, status: DeliveryStatus) -> Refused | None:
    """Marks a delivery in transit, or delivered, which frees its place at the courier.

    Repeated, it changes nothing. Refused: delivery_cancelled, delivered_already.
    Runs in the caller's transaction. Raises Delivery.DoesNotExist.
    """
    delivery = Delivery.objects.select_for_update(no_key=True).get(pk=delivery_id)
    if delivery.status == status:
        return None
    if delivery.status == DeliveryStatus.CANCELLED:
        return Refused(DELIVERY_CANCELLED, "This delivery was cancelled.")
    if delivery.status == DeliveryStatus.DELIVERED:
        return Refused(DELIVERED_ALREADY, "This delivery was made already.")
    changes = {"delivered_at": Now()} if status == DeliveryStatus.DELIVERED else {}
    Delivery.objects.filter(pk=delivery_id).update(status=status, **changes)
    if status == DeliveryStatus.DELIVERED:
        Courier.objects.filter(pk=delivery.courier_id).update(busy=F("busy") - 1)
    return None


def decide_schedule(
    *, wanted: Mapping[Key, Area], couriers: Sequence[LockedCourier]
) -> dict[Key, int]:
    """The courier of each delivery: of the couriers that serve its area the one with most places
    left, then the first. Deliveries that find no courier are missing.

    In the order of `wanted`: each delivery takes a place.
    """
    places = {courier.id: courier.places for courier in couriers}
    chosen = {}
    for key, area in wanted.items():
        free = [courier.id for courier in couriers if area in courier.areas and places[courier.id]]
        if free:
            chosen[key] = max(free, key=lambda courier_id: (places[courier_id], -courier_id))
            places[chosen[key]] -= 1
    return chosen


def area_of(destination: Mapping[str, object]) -> Area:
    """The area of a destination; empty fields if the address does not name them."""
    return Area(*(str(destination.get(name, "")).strip() for name in Area._fields))


def is_failing(*, saga_id: str) -> bool:
    """Whether the saga is in the configured share of failures: always the same sagas, chosen
    independently of those that the card network declines.
    """
    hashed = hashlib.sha256(f"delivery {saga_id}".encode()).digest()
    return int.from_bytes(hashed[:8]) / 2**64 < settings.DELIVERY_FAIL_SHARE


def _refusals(areas: Mapping[Key, Area]) -> dict[Key, Refused]:
    served = store.served(areas=set(areas.values())) if areas else set()
    return {
        key: _NO_COURIER if area in served else _not_served(area) for key, area in areas.items()
    }


_NO_COURIER = Refused(refusals.NO_COURIER_FREE, "Every courier of the area is busy.")


def _not_served(area: Area) -> Refused:
    where = (
        ", ".join(filter(None, (area.city, area.province))) or "a destination without a province"
    )
    return Refused(refusals.AREA_NOT_SERVED, f"No courier serves {where}.")


def _scheduled(delivery_id: int, courier_id: int) -> Done:
    return Done(
        {"delivery_id": str(delivery_id), "courier_id": str(courier_id), "status": "scheduled"}
    )
