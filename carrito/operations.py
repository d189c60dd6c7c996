"""The operations of carrito in a saga. Each locks the rows of its list, decides, writes."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from carrito import store
from carrito.models import CartStatus, Checkout
from carrito.store import LockedCart, PriceChange, Snapshot
from catalogue import refusals
from catalogue.commands import Conclude, CreateOrder, Line
from contracts import bounds
from contracts.bounds import IdRead
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.saga import Undo
from coordination import acceptance
from coordination.acceptance import Accepted, Owner
from coordination.store import status_after
from participant.operations import does, undoes

SERVICE = "carrito"


class Accept(acceptance.Accept, frozen=True, kw_only=True):
    """Check this cart out. `user_id`: None means the cart's user.

    `is_shown_own`: the caller sees only their own carts; another's is refused as unknown.
    `prices`: current prices by product id, as far as they are known.
    """

    cart_id: IdRead
    payment_method: IdRead
    billing_address: dict[str, str] = {}
    is_shown_own: bool = False
    prices: Mapping[str, Decimal] = {}


class PriceChanged(Refused, frozen=True, kw_only=True):
    """A product costs more now than the cart showed. `cart`: the cart at the new prices."""

    cart: LockedCart


@does(service=SERVICE, command=Accept)
def accept(commands: Sequence[Accept]) -> list[Outcome]:
    """Locks the cart, freezes its lines, prices and total, and records the checkout.

    A product that costs less now is bought at the new price. If a product costs more, the checkout
    is refused; the cart then shows the new price, and can be bought at it. Done with `repeats`,
    another saga's id: the user's key belongs to that saga already.
    Refused: unknown_cart, cart_of_another_user, empty_cart, cart_in_checkout, cart_checked_out,
    cart_too_large, price_changed, unreadable, idempotency_key_reused, too_many_under_way.
    """
    carts = store.lock_carts(ids=[command.cart_id for command in commands])
    users = {command.saga_id: _user_of(command, carts) for command in commands}
    among = acceptance.sort_out(owner=OWNER, commands=commands, users=users)
    frozen = record(commands=among.fresh, carts=carts)
    decided = {
        command.saga_id: _accepted(result)
        for command, result in zip(among.fresh, frozen, strict=True)
    }
    return acceptance.answered(owner=OWNER, commands=commands, among=among, decided=decided)


@undoes(accept)
def fail_checkout(commands: Sequence[Undo]) -> list[Outcome]:
    """Ends the checkout without a sale: records the failure, and unlocks the cart."""
    failures = {
        command.saga_id: command.failure or Failure("", refusals.STOPPED) for command in commands
    }
    store.fail_checkouts(failures=failures)
    return [Done({"status": status_after(failures[command.saga_id]).value}) for command in commands]


OWNER = Owner(model=Checkout, accept=accept, fail=fail_checkout)


@does(service=SERVICE)
def create_order(commands: Sequence[CreateOrder]) -> list[Outcome]:
    """Makes a pending order from the frozen checkout, if its total was paid. Refused: no_checkout,
    wrong_amount.
    """
    ids = {command.saga_id: str(uuid.uuid4()) for command in commands}
    paid = {command.saga_id: command.paid for command in commands}
    due = store.add_orders(ids=ids, paid=paid)
    return [
        decide_order(order_id=ids[command.saga_id], due=due.get(command.saga_id), paid=command.paid)
        for command in commands
    ]


def decide_order(*, order_id: str, due: Decimal | None, paid: Decimal) -> Outcome:
    """Whether an order is made. `due`: the frozen total of the running checkout, if any."""
    if due is None:
        return Refused(refusals.NO_CHECKOUT, "No checkout of this saga is running.")
    if paid != due:
        return Refused(refusals.WRONG_AMOUNT, f"{paid:.40} was paid, and {due} is due.")
    return Done({"order_id": order_id})


@undoes(create_order)
def cancel_order(commands: Sequence[Undo]) -> list[Outcome]:
    """Cancels the order, also a confirmed order (a return)."""
    cancelled = store.cancel_orders(
        reasons={command.saga_id: command.reason for command in commands}
    )
    return [Done({"cancelled": command.saga_id in cancelled}) for command in commands]


@does(service=SERVICE)
def confirm_order(commands: Sequence[Conclude]) -> list[Outcome]:
    """Confirms the order, which completes the checkout. Refused, outside a saga only: no_order."""
    confirmed = store.confirm_orders(saga_ids=[command.saga_id for command in commands])
    return [
        Done({"order_id": found[0], "confirmed_at": found[1].isoformat()})
        if (found := confirmed.get(command.saga_id))
        else Refused(refusals.NO_ORDER, "This saga has no pending order.")
        for command in commands
    ]


def record(
    *, commands: Sequence[Accept], carts: Mapping[str, LockedCart]
) -> list[Snapshot | Refused]:
    """Records the checkouts; returns each as frozen, or its refusal. `carts`: locked, by id."""
    frozen = snapshots(commands=commands, carts=carts)
    accepted = [snapshot for snapshot in frozen if isinstance(snapshot, Snapshot)]
    bought = {snapshot.cart.id: snapshot.cart for snapshot in accepted}
    refused = [changed.cart for changed in frozen if isinstance(changed, PriceChanged)]
    store.show_prices(
        accepted=[cart for cart in bought.values() if cart.price_changes or cart.is_marked],
        refused=[cart for cart in refused if cart.id not in bought],
    )
    store.add_checkouts(accepted=accepted)
    return frozen


def snapshots(
    *, commands: Sequence[Accept], carts: Mapping[str, LockedCart]
) -> list[Snapshot | Refused]:
    """The checkouts as all their steps will see them, or refusals. `carts`: locked, by id."""
    frozen: list[Snapshot | Refused] = []
    taken: set[str] = set()
    for command in commands:
        cart = priced(cart=carts.get(command.cart_id), prices=command.prices)
        refused = decide_accept(command=command, cart=cart, is_taken=command.cart_id in taken)
        if refused or cart is None:
            frozen.append(refused or Refused(refusals.UNKNOWN_CART))
            continue
        taken.add(cart.id)
        frozen.append(_snapshot(command, cart))
    return frozen


def priced(*, cart: LockedCart | None, prices: Mapping[str, Decimal]) -> LockedCart | None:
    """The cart at these prices; a line without a known price keeps its own."""
    if cart is None or not prices:
        return cart
    known = [
        (line, bounds.amount(prices.get(line.product_id, line.unit_price))) for line in cart.items
    ]
    changes = [
        PriceChange(line.product_id, line.unit_price, now)
        for line, now in known
        if now != line.unit_price
    ]
    if not changes:
        return cart
    items = [Line(line.product_id, line.quantity, now) for line, now in known]
    return replace(cart, items=items, price_changes=changes, version=cart.version + 1)


def decide_accept(*, command: Accept, cart: LockedCart | None, is_taken: bool) -> Refused | None:
    """Why this cart, at current prices, can't be checked out. `is_taken`: an earlier command of the
    same list checks it out.
    """
    is_another = cart is not None and command.user_id not in (None, cart.user_id)
    if cart is None or (is_another and command.is_shown_own):
        return Refused(refusals.UNKNOWN_CART, f"There is no cart {command.cart_id}.")
    if is_another:
        return Refused(refusals.CART_OF_ANOTHER_USER, "The cart belongs to another user_id.")
    if cart.status == CartStatus.CHECKED_OUT:
        return Refused(refusals.CART_CHECKED_OUT, "This cart was bought already.")
    if is_taken or cart.status == CartStatus.CHECKING_OUT:
        return Refused(refusals.CART_IN_CHECKOUT, "A checkout of this cart is running.")
    if cart.status != CartStatus.ACTIVE:
        return Refused(refusals.UNREADABLE, f"Cart {cart.id} has no such status: {cart.status!r}.")
    if not cart.items:
        return Refused(refusals.EMPTY_CART, "The cart is empty: add an item first.")
    return decide_prices(cart=cart) or decide_size(lines=cart.items)


def decide_prices(*, cart: LockedCart) -> PriceChanged | None:
    """The refusal if a product costs more than the shopper was shown."""
    risen = [change for change in cart.price_changes if change.now > change.was]
    if not risen:
        return None
    risen_prices = "; ".join(
        f"product {change.product_id} from {change.was} to {change.now}" for change in risen
    )
    detail = f"Prices have risen since the cart showed them: {risen_prices}. It shows them now."
    return PriceChanged(refusals.PRICE_CHANGED, detail, cart=cart)


def decide_size(*, lines: Sequence[Line]) -> Refused | None:
    """The refusal if a cart with these lines is too large: no later step checks its sum."""
    if len(lines) > bounds.MOST_LINES:
        return _too_large(f"at most {bounds.MOST_LINES} different products, not {len(lines)}")
    for line in lines:
        if not 1 <= line.quantity <= bounds.MOST_QUANTITY:
            return _too_large(
                f"at most {bounds.MOST_QUANTITY} of one product, not {line.quantity}"
                f" of product {line.product_id}"
            )
        if not bounds.is_money(line.unit_price, most=bounds.MOST_PRICE):
            detail = f"The price of product {line.product_id} is not valid: {line.unit_price}."
            return Refused(refusals.UNREADABLE, detail)
    total = store.total_of(lines)
    if total > bounds.MOST_MONEY:
        return _too_large(f"a total of at most {bounds.MOST_MONEY}, not {total}")
    return None


def _too_large(limit: str) -> Refused:
    return Refused(refusals.CART_TOO_LARGE, f"A cart can have {limit}.")


def _user_of(command: Accept, carts: Mapping[str, LockedCart]) -> str | None:
    """The cart's user; None if another user asks, or there is no such cart."""
    cart = carts.get(command.cart_id)
    return cart.user_id if cart and command.user_id in (None, cart.user_id) else None


def told(*, accepted: Snapshot) -> dict[str, Any]:
    """The shopper's answer: the total, and the products that have become cheaper, if any."""
    changes = accepted.cart.price_changes
    return {"total_amount": str(accepted.total_amount)} | (
        {"price_changes": changes} if changes else {}
    )


def _accepted(frozen: Snapshot | Refused) -> Outcome:
    if isinstance(frozen, Refused):
        return frozen
    return Accepted(told(accepted=frozen), context=frozen.context)


def _snapshot(command: Accept, cart: LockedCart) -> Snapshot:
    total = store.total_of(cart.items)
    known = {
        "items": cart.items,
        "total_amount": total,
        "payment_method": command.payment_method,
    }
    return Snapshot(
        context=acceptance.context_of(
            command=command, subject=cart.id, user_id=cart.user_id, known=known
        ),
        cart=cart,
        total_amount=total,
        billing_address=command.billing_address,
    )
