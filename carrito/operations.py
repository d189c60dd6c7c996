"""What carrito can do in a saga. Each: lock the rows of the whole list, decide, write."""

import uuid
from collections.abc import Sequence

from carrito import records
from carrito.models import CartStatus
from carrito.records import Accepted, LockedCart
from contracts import refusals, sagas
from contracts.commands import Checkout, Command, Undo, Unlock
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.statuses import SagaStatus
from sagas.operations import does, undoes

SERVICE = "carrito"


class Accept(Command, frozen=True, kw_only=True):
    """Check this cart out. `user_id` may be left out; it is the cart's then."""

    cart_id: str
    payment_method: str
    saga_pattern: str
    user_id: str | None = None
    billing_address: dict[str, str] = {}
    traceparent: str = ""
    idempotency_key: str = ""
    fingerprint: str = ""


@does(service=SERVICE, step=sagas.ACCEPT, command=Accept)
def accept(commands: Sequence[Accept]) -> list[Outcome]:
    """Locks the cart, freezes its lines, prices and total, and records the checkout.

    Refused: unknown_cart, cart_of_another_user, empty_cart, cart_in_checkout, cart_checked_out.
    """
    frozen = freeze(commands=commands)
    records.add_checkouts(accepted=[one for one in frozen if isinstance(one, Accepted)])
    return [
        one if isinstance(one, Refused) else Done({"total_amount": str(one.checkout.total_amount)})
        for one in frozen
    ]


@undoes(service=SERVICE, step=sagas.ACCEPT, command=Unlock)
def unlock(commands: Sequence[Unlock]) -> list[Outcome]:
    """The checkout ended without a sale: says why, and gives the cart back to the shopper."""
    failures = {one.saga_id: one.failure or Failure("", refusals.STOPPED) for one in commands}
    statuses = {saga_id: _status_after(failure) for saga_id, failure in failures.items()}
    records.end_without_sale(failures=failures, statuses=statuses)
    return [Done({"status": statuses[one.saga_id].value}) for one in commands]


@does(service=SERVICE, step=sagas.CREATE_ORDER, command=Command)
def create_order(commands: Sequence[Command]) -> list[Outcome]:
    """An order, pending, from the frozen checkout. Refused: no_checkout."""
    ids = {one.saga_id: str(uuid.uuid4()) for one in commands}
    made = records.add_orders(ids=ids)
    return [
        Done({"order_id": ids[one.saga_id]})
        if one.saga_id in made
        else Refused(refusals.NO_CHECKOUT, "No checkout of this saga is running.")
        for one in commands
    ]


@undoes(service=SERVICE, step=sagas.CREATE_ORDER, command=Undo)
def cancel_order(commands: Sequence[Undo]) -> list[Outcome]:
    """Cancels the order, also a confirmed one (a return)."""
    cancelled = records.cancel_orders(reasons={one.saga_id: one.reason for one in commands})
    return [Done({"cancelled": one.saga_id in cancelled}) for one in commands]


@does(service=SERVICE, step=sagas.CONFIRM_ORDER, command=Command)
def confirm_order(commands: Sequence[Command]) -> list[Outcome]:
    """Confirms the order: the checkout is completed. Refused, out of a saga only: no_order."""
    confirmed = records.confirm_orders(saga_ids=[one.saga_id for one in commands])
    return [
        Done({"order_id": found[0], "confirmed_at": found[1].isoformat()})
        if (found := confirmed.get(one.saga_id))
        else Refused(refusals.NO_ORDER, "No pending order of this saga is there.")
        for one in commands
    ]


def freeze(*, commands: Sequence[Accept]) -> list[Accepted | Refused]:
    """The checkouts as all their steps will see them, or why not; their carts are locked."""
    carts = records.lock_carts(ids=[one.cart_id for one in commands])
    frozen: list[Accepted | Refused] = []
    taken: set[str] = set()
    for command in commands:
        cart = carts.get(command.cart_id)
        refused = decide_accept(command=command, cart=cart, is_taken=command.cart_id in taken)
        if refused or cart is None:
            frozen.append(refused or Refused(refusals.UNKNOWN_CART))
            continue
        taken.add(cart.id)
        frozen.append(_frozen(command, cart))
    return frozen


def decide_accept(*, command: Accept, cart: LockedCart | None, is_taken: bool) -> Refused | None:
    """Whether this cart can be checked out. `is_taken`: by an earlier command of the same list."""
    if cart is None:
        return Refused(refusals.UNKNOWN_CART, f"There is no cart {command.cart_id}.")
    if command.user_id not in (None, cart.user_id):
        return Refused(refusals.CART_OF_ANOTHER_USER, "The cart belongs to another user_id.")
    if cart.status is CartStatus.CHECKED_OUT:
        return Refused(refusals.CART_CHECKED_OUT, "This cart was bought already.")
    if is_taken or cart.status is CartStatus.CHECKING_OUT:
        return Refused(refusals.CART_IN_CHECKOUT, "A checkout of this cart is running.")
    if not cart.items:
        return Refused(refusals.EMPTY_CART, "The cart is empty: add an item first.")
    return None


def _frozen(command: Accept, cart: LockedCart) -> Accepted:
    checkout = Checkout(
        saga_id=command.saga_id,
        cart_id=cart.id,
        user_id=cart.user_id,
        items=list(cart.items),
        total_amount=records.total_of(cart.items),
        payment_method=command.payment_method,
        saga_pattern=command.saga_pattern,
        billing_address=command.billing_address,
        traceparent=command.traceparent,
    )
    return Accepted(
        checkout=checkout,
        cart_version=cart.version,
        idempotency_key=command.idempotency_key,
        fingerprint=command.fingerprint,
    )


def _status_after(failure: Failure) -> SagaStatus:
    """`failed` where nothing had to be undone."""
    return SagaStatus.COMPENSATED if failure.undone else SagaStatus.FAILED
