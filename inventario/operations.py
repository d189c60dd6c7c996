"""The operations of inventario in a saga. Each locks the rows of its list, decides, writes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from django.conf import settings
from django.db import transaction

from catalogue import refusals
from catalogue.commands import Commit, Item, Reserve
from contracts.outcomes import Done, Outcome, Refused
from contracts.saga import Command, Undo
from inventario import store
from inventario.models import ReservationStatus
from inventario.store import Key, LockedReservation, Movement, NewReservation
from participant import failpoints
from participant.operations import does, undoes

SERVICE = "inventario"


@does(service=SERVICE)
def reserve(commands: Sequence[Reserve]) -> list[Outcome]:
    """Reserves every line, or none. Refused: unknown_product, out_of_stock, too_many_reserved."""
    wanted = [_wanted(command.items) for command in commands]
    ids = [product for lines in wanted for product in lines or ()]
    users = [command.user_id for command in commands]
    if settings.MOST_RESERVED and any(users):
        available, held = store.lock_products_and_users(ids=ids, user_ids=filter(None, users))
    else:
        available, held = store.lock_products(ids=ids), {}
    decided = decide_reserve(
        wanted=wanted, available=available, users=users, held=held, most=settings.MOST_RESERVED
    )
    made = [
        None
        if refused or not lines
        else NewReservation(
            saga_id=command.saga_id,
            step=reserve.step_of(command),
            subject=command.subject,
            user_id=command.user_id,
            lines=lines,
        )
        for command, lines, refused in zip(commands, wanted, decided, strict=True)
    ]
    written = _write([new for new in made if new])
    return [
        Done({"reservation_id": str(written[new.key])}) if new else refused or _UNKNOWN
        for new, refused in zip(made, decided, strict=True)
    ]


@undoes(reserve)
def unreserve(commands: Sequence[Undo]) -> list[Outcome]:
    """Releases what this step still has reserved."""
    keys = [(command.saga_id, unreserve.step_of(command)) for command in commands]
    locked = store.lock_reservations(saga_ids=[saga_id for saga_id, _ in keys])
    released = _release([held for held in locked if held.key in keys], ReservationStatus.RELEASED)
    return [Done({"released": key in released}) for key in keys]


@does(service=SERVICE)
def commit(commands: Sequence[Commit]) -> list[Outcome]:
    """Sells all that the saga has reserved, if that was ordered and paid. Refused:
    no_reservation, reservation_expired, wrong_items, wrong_amount.
    """
    locked = _by_saga(commands)
    decided = [
        decide_commit(command=command, held=locked.get(command.saga_id, [])) for command in commands
    ]
    sold = [
        held
        for command, outcome in zip(commands, decided, strict=True)
        if isinstance(outcome, Done)
        for held in locked[command.saga_id]
        if held.status is ReservationStatus.RESERVED
    ]
    quantities = _sum(sold)
    movement = Movement(reserved=_negative(quantities), sold=quantities)
    store.settle(reservations=sold, status=ReservationStatus.COMMITTED, movement=movement)
    return decided


@undoes(commit)
def restore(commands: Sequence[Undo]) -> list[Outcome]:
    """Takes back all that the saga was sold: a return."""
    sold = [
        held
        for reservations in _by_saga(commands).values()
        for held in reservations
        if held.status is ReservationStatus.COMMITTED
    ]
    quantities = _sum(sold)
    movement = Movement(available=quantities, sold=_negative(quantities))
    store.settle(reservations=sold, status=ReservationStatus.RESTORED, movement=movement)
    return [Done({"restored": True}) for _ in commands]


@does(service=SERVICE)
def pad(commands: Sequence[Command]) -> list[Outcome]:
    """Changes nothing: makes a saga longer, to measure what its length costs."""
    return [Done() for _ in commands]


def expire(*, limit: int = 500, but_not: Sequence[str] = (), only: str | None = None) -> int:
    """Releases expired reservations; returns how many.

    `but_not`: sagas that are left out; `only`: the only saga whose reservations are released.

    The row lock decides against a concurrent commit: a commit that holds the row goes first, and
    the row is skipped here; a commit that comes later finds it expired, and is refused.
    """
    with transaction.atomic(using=SERVICE):
        due = store.lock_due(limit=limit, but_not=but_not, only=only)
        if not due:
            return 0
        released = _release(due, ReservationStatus.EXPIRED)
        failpoints.reach("expiry.before_commit")
    failpoints.reach("expiry.after_commit")
    return len(released)


def decide_reserve(
    *,
    wanted: Sequence[Mapping[int, int] | None],
    available: Mapping[int, int],
    users: Sequence[str] = (),
    held: Mapping[str, int] = MappingProxyType({}),
    most: int = 0,
) -> list[Refused | None]:
    """The refusals, in the order of the list: each reservation that is granted leaves less for the
    next. `users`: whose each is; an empty user has no limit. `held`: the units that each user has
    reserved already, of at most `most` (0: no limit).
    """
    left, taken = dict(available), Counter(held)
    decided: list[Refused | None] = []
    for lines, user in zip(wanted, users or [""] * len(wanted), strict=True):
        units = sum(lines.values()) if lines else 0
        refused = _refusal(lines, left)
        if not refused and most and user and taken[user] + units > most:
            refused = _too_many(units, taken[user], most)
        if lines and not refused:
            taken[user] += units
            for product, quantity in lines.items():
                left[product] -= quantity
        decided.append(refused)
    return decided


def _too_many(units: int, held: int, most: int) -> Refused:
    detail = f"{units} more, beside the {held} that you have reserved: at most {most} at a time."
    return Refused(refusals.TOO_MANY_RESERVED, detail)


def decide_commit(*, command: Commit, held: Sequence[LockedReservation]) -> Outcome:
    """Whether what a saga has reserved can be sold: none of it is expired, and it is what the saga
    ordered and paid. `held`: all reservations that the saga ever had.
    """
    if any(reservation.status is ReservationStatus.EXPIRED for reservation in held):
        return Refused(refusals.RESERVATION_EXPIRED, "The reservation's time was over.")
    reserved = [
        reservation for reservation in held if reservation.status is ReservationStatus.RESERVED
    ]
    if not reserved:
        return Refused(refusals.NO_RESERVATION, "Nothing is reserved for this saga.")
    is_compared = bool(command.saga or command.items)
    if is_compared and _sum(reserved) != _wanted(command.items):
        return Refused(refusals.WRONG_ITEMS, "What is reserved is not what was ordered.")
    if command.paid != command.due:
        return Refused(
            refusals.WRONG_AMOUNT, f"{command.paid:.40} was paid, and {command.due:.40} is due."
        )
    return Done({"reservation_id": str(reserved[0].id)})


_UNKNOWN = Refused(refusals.UNKNOWN_PRODUCT, "A line names a product that does not exist.")


def _refusal(lines: Mapping[int, int] | None, left: Mapping[int, int]) -> Refused | None:
    if lines is None or any(product not in left for product in lines):
        return _UNKNOWN
    for product, quantity in lines.items():
        if quantity > left[product]:
            return Refused(
                refusals.OUT_OF_STOCK,
                f"Product {product}: {quantity} wanted, {left[product]} available.",
            )
    return None


def _wanted(items: Sequence[Item]) -> Counter[int] | None:
    """The quantities by product id; None if an id can't be a product's."""
    lines: Counter[int] = Counter()
    for item in items:
        product = store.product_id_of(item.product_id)
        if product is None:
            return None
        lines[product] += item.quantity
    return lines


def _write(reservations: Sequence[NewReservation]) -> dict[Key, int]:
    if not reservations:
        return {}
    quantities = _sum(reservations)
    return store.add_reservations(
        reservations=reservations,
        movement=Movement(available=_negative(quantities), reserved=quantities),
        seconds=settings.RESERVATION_SECONDS,
    )


def _by_saga(commands: Sequence[Command]) -> dict[str, list[LockedReservation]]:
    locked: dict[str, list[LockedReservation]] = defaultdict(list)
    for held in store.lock_reservations(saga_ids=[command.saga_id for command in commands]):
        locked[held.saga_id].append(held)
    return locked


def _release(locked: Sequence[LockedReservation], status: ReservationStatus) -> set[Key]:
    releasing = [held for held in locked if held.status is ReservationStatus.RESERVED]
    quantities = _sum(releasing)
    movement = Movement(available=quantities, reserved=_negative(quantities))
    store.settle(reservations=releasing, status=status, movement=movement)
    return {held.key for held in releasing}


def _sum(reservations: Iterable[LockedReservation | NewReservation]) -> Counter[int]:
    total: Counter[int] = Counter()
    for reservation in reservations:
        total.update(reservation.lines)
    return total


def _negative(quantities: Mapping[int, int]) -> Counter[int]:
    return Counter({product: -quantity for product, quantity in quantities.items()})
