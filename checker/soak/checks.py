"""What must be true of a soak's checkouts in the end: rules from what shoppers were told and what
the tables say to the breaches; pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from checker.soak.ledger import Ledger

COMPLETED = "completed"
ENDED = {COMPLETED, "failed", "compensated"}
CONFIRMED, CANCELLED = "confirmed", "cancelled"

Answers = Mapping[str, Sequence[str]]
"""By idempotency key: each different final answer that the shopper got."""


def breaches(*, ledger: Ledger, answers: Answers) -> list[str]:
    """What is wrong, a sentence each; empty where all is right."""
    rules = (_of_answers, _of_keys, _of_ends, _of_orders, _of_money, _of_stock)
    return [what for rule in rules for what in rule(ledger, answers)]


def _of_answers(ledger: Ledger, answers: Answers) -> Iterator[str]:
    """Whoever was told of a saga finds it, always the same one; everybody was told of one."""
    keys = {one.saga_id: one.key for one in ledger.checkouts}
    for key, told in answers.items():
        if not told:
            yield f"the checkout under key {key} was never accepted"
        elif len(told) > 1:
            yield f"the shopper under key {key} was given several answers: {', '.join(told)}"
        elif told[0] not in keys:
            yield f"the shopper under key {key} was answered {told[0]}, which no table has"
        elif keys[told[0]] != key:
            yield f"saga {told[0]} was told under key {key}, and is kept under {keys[told[0]]}"


def _of_keys(ledger: Ledger, answers: Answers) -> Iterator[str]:
    """A key has one saga, and no saga is anybody else's."""
    for key, count in Counter(one.key for one in ledger.checkouts).items():
        if count > 1:
            yield f"key {key} has {count} sagas"
        if key not in answers:
            yield f"{count} checkouts are under key {key!r}, for which nobody asked"


def _of_ends(ledger: Ledger, _: Answers) -> Iterator[str]:
    """What was accepted has ended."""
    for one in ledger.checkouts:
        if one.status not in ENDED or one.ended_at is None:
            yield f"saga {one.saga_id} has not ended: {one.status}"


def _of_orders(ledger: Ledger, _: Answers) -> Iterator[str]:
    """A completed checkout has one order, confirmed, of its total; any other has none in force."""
    orders: dict[str, list[tuple[str, int]]] = {}
    for order in ledger.orders:
        orders.setdefault(order.saga_id, []).append((order.status, order.total))
    for one in ledger.checkouts:
        found = orders.pop(one.saga_id, [])
        if one.status == COMPLETED and found != [(CONFIRMED, one.total)]:
            yield f"saga {one.saga_id} of {one.total} is completed, and its orders are {found}"
        if one.status != COMPLETED and any(status != CANCELLED for status, _ in found):
            yield f"saga {one.saga_id} is {one.status}, and its orders are {found}"
    for saga_id in orders:
        yield f"there is an order of saga {saga_id}, which nobody accepted"


def _of_money(ledger: Ledger, _: Answers) -> Iterator[str]:
    """What was taken and not given back is the total where it completed, nothing otherwise."""
    money = {one.saga_id: one for one in ledger.money}
    for one in ledger.checkouts:
        found = money.pop(one.saga_id, None)
        kept = found.captured - found.refunded if found else 0
        due = one.total if one.status == COMPLETED else 0
        if kept != due:
            yield f"saga {one.saga_id} is {one.status}, and {kept} cents were kept, not {due}"
        if found and max(found.charges, found.refunds) > 1:
            yield f"saga {one.saga_id}: {found.charges} charges, {found.refunds} refunds"
    for saga_id in money:
        yield f"there is a payment of saga {saga_id}, which nobody accepted"


def _of_stock(ledger: Ledger, _: Answers) -> Iterator[str]:
    """Nothing is put aside any more, and what is sold is what completed checkouts bought."""
    bought: Counter[str] = Counter()
    for one in ledger.checkouts:
        if one.status == COMPLETED:
            bought.update(one.lines)
    for product in ledger.stock:
        sold = bought[product.product_id]
        if product[1:] != (product.initial, product.initial - sold, 0, sold):
            yield f"of product {product.product_id} {sold} were bought, and it counts {product}"
