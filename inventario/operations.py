"""What inventario can do in a saga. Each: lock the rows of the whole list, decide, write."""

from collections import Counter
from collections.abc import Mapping, Sequence

from django.conf import settings
from django.db import transaction

from contracts import refusals, sagas
from contracts.commands import Command, Reserve, Undo
from contracts.outcomes import Done, Outcome, Refused
from inventario import stock
from inventario.models import ReservationStatus
from inventario.stock import Held, Movement
from sagas import points
from sagas.operations import blocks, does, undoes

SERVICE = "inventario"
LARGEST_ID = 2**63 - 1


@does(service=SERVICE, step=sagas.RESERVE, command=Reserve)
def reserve(commands: Sequence[Reserve]) -> list[Outcome]:
    """Puts every line aside, or none. Refused: unknown_product, out_of_stock."""
    wanted = [_wanted(command) for command in commands]
    available = stock.lock_products(ids=[p for lines in wanted for p in lines or ()])
    decided = decide_reserve(wanted=wanted, available=available)
    taken = {
        command.saga_id: lines
        for command, lines, refused in zip(commands, wanted, decided, strict=True)
        if lines and not refused
    }
    carts = {one.saga_id: one.cart_id for one in commands if one.saga_id in taken}
    ids = _write_reservations(carts, taken) if taken else {}
    return [
        refused or Done({"reservation_id": str(ids[command.saga_id])})
        for command, refused in zip(commands, decided, strict=True)
    ]


@undoes(service=SERVICE, step=sagas.RESERVE, command=Undo)
def unreserve(commands: Sequence[Undo]) -> list[Outcome]:
    """Gives what is still put aside back to what is available."""
    held = stock.lock_reservations(saga_ids=[one.saga_id for one in commands])
    released = _release(held, ReservationStatus.RELEASED)
    return [Done({"released": one.saga_id in released}) for one in commands]


@does(service=SERVICE, step=sagas.COMMIT, command=Command)
def commit(commands: Sequence[Command]) -> list[Outcome]:
    """Sells what is put aside. Refused: no_reservation, reservation_expired."""
    held = stock.lock_reservations(saga_ids=[one.saga_id for one in commands])
    decided = [decide_commit(held=held.get(one.saga_id)) for one in commands]
    sold = [
        held[one.saga_id]
        for one, outcome in zip(commands, decided, strict=True)
        if isinstance(outcome, Done)
    ]
    quantities = _sum(sold)
    movement = Movement(reserved=_negative(quantities), sold=quantities)
    stock.settle(reservations=sold, status=ReservationStatus.COMMITTED, movement=movement)
    return decided


@undoes(service=SERVICE, step=sagas.COMMIT, command=Undo)
def restore(commands: Sequence[Undo]) -> list[Outcome]:
    """Takes back what was sold: a return."""
    held = stock.lock_reservations(saga_ids=[one.saga_id for one in commands])
    sold = [one for one in held.values() if one.status is ReservationStatus.COMMITTED]
    quantities = _sum(sold)
    movement = Movement(available=quantities, sold=_negative(quantities))
    stock.settle(reservations=sold, status=ReservationStatus.RESTORED, movement=movement)
    return [Done({"restored": True}) for _ in commands]


block_commit = blocks(service=SERVICE, step=sagas.COMMIT, command=Undo)
"""Done: it was sold already, the saga can only go forward. Refused: it never will be."""


def expire(*, limit: int = 500, but_not: Sequence[str] = (), only: str | None = None) -> int:
    """Releases reservations whose time is over; returns how many.

    `but_not`: of which sagas none is looked at; `only`: of which one alone.

    A commit that comes at the same moment either holds the row (and is left alone) or finds it
    expired (and is refused): the lock on the row decides.
    """
    with transaction.atomic(using=SERVICE):
        due = stock.lock_due(limit=limit, but_not=but_not, only=only)
        if not due:
            return 0
        released = _release(due, ReservationStatus.EXPIRED)
        points.reach("expiry.before_commit")
    points.reach("expiry.after_commit")
    return len(released)


def decide_reserve(
    *, wanted: Sequence[Mapping[int, int] | None], available: Mapping[int, int]
) -> list[Refused | None]:
    """Who gets it, in the order of the list: what one takes is gone for the next."""
    left = dict(available)
    decided: list[Refused | None] = []
    for lines in wanted:
        refused = _refusal(lines, left)
        if lines and not refused:
            for product, quantity in lines.items():
                left[product] -= quantity
        decided.append(refused)
    return decided


def decide_commit(*, held: Held | None) -> Outcome:
    """Only what is still put aside can be sold."""
    if held and held.status is ReservationStatus.RESERVED:
        return Done({"reservation_id": str(held.id)})
    if held and held.status is ReservationStatus.EXPIRED:
        return Refused(refusals.RESERVATION_EXPIRED, "The reservation's time was over.")
    return Refused(refusals.NO_RESERVATION, "Nothing is put aside for this saga.")


def product_id_of(text: str) -> int | None:
    """The id in a string such as "1"; None where it is none."""
    if text.isascii() and text.isdigit() and len(text) <= 19:
        return min(int(text), LARGEST_ID)
    return None


def _refusal(lines: Mapping[int, int] | None, left: Mapping[int, int]) -> Refused | None:
    if lines is None or any(product not in left for product in lines):
        return Refused(refusals.UNKNOWN_PRODUCT, "A line names a product that does not exist.")
    for product, quantity in lines.items():
        if quantity > left[product]:
            return Refused(
                refusals.OUT_OF_STOCK,
                f"Product {product}: {quantity} wanted, {left[product]} available.",
            )
    return None


def _wanted(command: Reserve) -> Counter[int] | None:
    lines: Counter[int] = Counter()
    for item in command.items:
        product = product_id_of(item.product_id)
        if product is None:
            return None
        lines[product] += item.quantity
    return lines


def _write_reservations(
    carts: Mapping[str, str], taken: Mapping[str, Mapping[int, int]]
) -> dict[str, int]:
    quantities: Counter[int] = Counter()
    for lines in taken.values():
        quantities.update(lines)
    return stock.add_reservations(
        carts=carts,
        lines=taken,
        movement=Movement(available=_negative(quantities), reserved=quantities),
        seconds=settings.RESERVATION_SECONDS,
    )


def _release(held: Mapping[str, Held], status: ReservationStatus) -> set[str]:
    releasing = [one for one in held.values() if one.status is ReservationStatus.RESERVED]
    quantities = _sum(releasing)
    movement = Movement(available=quantities, reserved=_negative(quantities))
    stock.settle(reservations=releasing, status=status, movement=movement)
    return {one.saga_id for one in releasing}


def _sum(reservations: Sequence[Held]) -> Counter[int]:
    total: Counter[int] = Counter()
    for one in reservations:
        total.update(one.lines)
    return total


def _negative(quantities: Mapping[int, int]) -> Counter[int]:
    return Counter({product: -quantity for product, quantity in quantities.items()})
