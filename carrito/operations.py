"""What carrito can do in a saga. Each: lock the rows of the whole list, decide, write."""

import uuid
from collections.abc import Mapping, Sequence

from django.db import transaction

from carrito import keys, records
from carrito.keys import Key
from carrito.models import CartStatus
from carrito.records import Accepted, LockedCart
from contracts import bounds, refusals, sagas
from contracts.bounds import Id, SagaPattern, Traceparent
from contracts.commands import Checkout, Command, Line, Undo, Unlock
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.statuses import SagaStatus
from sagas import points
from sagas.operations import does, undoes
from sagas.performing import perform

SERVICE = "carrito"


class Accept(Command, frozen=True, kw_only=True):
    """Check this cart out. `user_id` may be left out; it is the cart's then.

    `idempotency_key`: the user's, empty without one. `fingerprint`: of what is asked for.
    """

    cart_id: Id
    payment_method: Id
    saga_pattern: SagaPattern
    user_id: Id | None = None
    billing_address: dict[str, str] = {}
    traceparent: Traceparent = ""
    idempotency_key: str = ""
    fingerprint: str = ""


@does(service=SERVICE, step=sagas.ACCEPT, command=Accept)
def accept(commands: Sequence[Accept]) -> list[Outcome]:
    """Locks the cart, freezes its lines, prices and total, and records the checkout.

    Done with `repeats`, another saga's id: the user's key stands for that one already.
    Refused: unknown_cart, cart_of_another_user, empty_cart, cart_in_checkout, cart_checked_out,
    cart_too_large, unreadable, idempotency_key_reused.
    """
    carts = records.lock_carts(ids=[one.cart_id for one in commands])
    known = keys.take(keys=_keys(commands, carts))
    fresh = [one for one in commands if one.saga_id not in known]
    frozen = freeze(commands=fresh, carts=carts)
    records.add_checkouts(accepted=[one for one in frozen if isinstance(one, Accepted)])
    decided = {one.saga_id: _accepted(result) for one, result in zip(fresh, frozen, strict=True)}
    keys.free(saga_ids=[one.saga_id for one in fresh if _frees_key(one, decided)])
    decided |= {
        one.saga_id: _repeated(one, known[one.saga_id], decided)
        for one in commands
        if one.saga_id in known
    }
    return [decided[one.saga_id] for one in commands]


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


def retry_handover(*, saga_ids: Sequence[str]) -> set[str]:
    """A person's: these are handed over again, from the start. Which of them were set aside."""
    points.reach("handover.before_retry")
    found = records.take_back(saga_ids=saga_ids)
    points.reach("handover.retried")
    return found


def discard(*, saga_ids: Sequence[str], reason: str) -> set[str]:
    """A person's: ends these without a sale, as an unlock does, and gives their carts back.

    Should a coordinator have one of them after all, its order is refused, and it is undone there.
    Returns which of them were set aside; no other is touched.
    """
    with transaction.atomic(using=SERVICE):
        found = records.lock_set_aside(saga_ids=saga_ids)
        failure = Failure(sagas.ACCEPT, refusals.DISCARDED, reason)
        unlocks = [Unlock(saga_id=saga_id, failure=failure) for saga_id in found]
        if unlocks:
            perform(operation=unlock, commands=unlocks)
        points.reach("handover.before_discard")
    points.reach("handover.discarded")
    return set(found)


def freeze(
    *, commands: Sequence[Accept], carts: Mapping[str, LockedCart]
) -> list[Accepted | Refused]:
    """The checkouts as all their steps will see them, or why not. `carts`: locked, by id."""
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
    if cart.status == CartStatus.CHECKED_OUT:
        return Refused(refusals.CART_CHECKED_OUT, "This cart was bought already.")
    if is_taken or cart.status == CartStatus.CHECKING_OUT:
        return Refused(refusals.CART_IN_CHECKOUT, "A checkout of this cart is running.")
    if cart.status != CartStatus.ACTIVE:
        return Refused(refusals.UNREADABLE, f"Cart {cart.id} has no such status: {cart.status!r}.")
    if not cart.items:
        return Refused(refusals.EMPTY_CART, "The cart is empty: add an item first.")
    return decide_size(lines=cart.items)


def decide_size(*, lines: Sequence[Line]) -> Refused | None:
    """Whether a cart with these lines can be bought: what is summed here, no step sums again."""
    if len(lines) > bounds.MOST_LINES:
        return _too_large(f"at most {bounds.MOST_LINES} different products, not {len(lines)}")
    for line in lines:
        if not 1 <= line.quantity <= bounds.MOST_QUANTITY:
            return _too_large(
                f"at most {bounds.MOST_QUANTITY} of one product, not {line.quantity}"
                f" of product {line.product_id}"
            )
        if not bounds.is_money(line.unit_price, most=bounds.MOST_PRICE):
            detail = f"The price of product {line.product_id} is none: {line.unit_price}."
            return Refused(refusals.UNREADABLE, detail)
    total = records.total_of(lines)
    if total > bounds.MOST_MONEY:
        return _too_large(f"a total of at most {bounds.MOST_MONEY}, not {total}")
    return None


def _too_large(limit: str) -> Refused:
    return Refused(refusals.CART_TOO_LARGE, f"A cart can have {limit}.")


def _keys(commands: Sequence[Accept], carts: Mapping[str, LockedCart]) -> list[Key]:
    """The keys that come with these, each as its cart's user's."""
    return [
        Key(
            user_id=cart.user_id,
            key=one.idempotency_key,
            saga_id=one.saga_id,
            fingerprint=one.fingerprint,
        )
        for one in commands
        if one.idempotency_key
        and (cart := carts.get(one.cart_id))
        and one.user_id in (None, cart.user_id)
    ]


def _accepted(frozen: Accepted | Refused) -> Outcome:
    if isinstance(frozen, Refused):
        return frozen
    return Done({"total_amount": str(frozen.checkout.total_amount)})


def _frees_key(command: Accept, decided: Mapping[str, Outcome]) -> bool:
    return bool(command.idempotency_key) and isinstance(decided[command.saga_id], Refused)


def _repeated(command: Accept, key: Key, decided: Mapping[str, Outcome]) -> Outcome:
    """What the key stands for: a checkout of before, or an earlier one of the same list."""
    if key.fingerprint != command.fingerprint:
        detail = "This Idempotency-Key belongs to a checkout with another body: use a new key."
        return Refused(refusals.KEY_REUSED, detail)
    first = decided.get(key.saga_id)
    return first if isinstance(first, Refused) else Done({"repeats": key.saga_id})


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
    return Accepted(checkout=checkout, cart_version=cart.version)


def _status_after(failure: Failure) -> SagaStatus:
    """`failed` where nothing had to be undone."""
    return SagaStatus.COMPENSATED if failure.undone else SagaStatus.FAILED
