"""How one saga ended: rules from its evidence to the breaches of groups 1 to 4, and 8.

A saga that still runs, or that is parked, is held only to what must hold at any moment; one of
which a person skipped a step is theirs to answer for.
"""

from collections.abc import Iterator

from contracts import sagas
from contracts.sagas import CHECKOUT
from contracts.statuses import FINAL
from loadtests.audit.evidence import Evidence
from loadtests.audit.tables import Checkout, Run

UNDOABLE = [step.name for step in CHECKOUT.steps[1:] if step.undo]
PATTERNS = {"saga_orchestrator": "orchestrated", "saga_choreography": "choreographed"}
"""How the names of the patterns begin that a coordinator runs."""


def held_stock(saga: Evidence) -> Iterator[str]:
    """1: nothing is put aside for a saga that has ended."""
    for reservation in saga.reservations:
        if saga.is_over and reservation.status == "reserved":
            yield f"has ended, but {reservation.lines} is still put aside for it"


def money(saga: Evidence) -> Iterator[str]:
    """2: taken once, given back once; in the end the total was paid, or nothing."""
    taken = {one.payment_id: one for one in saga.payments if one.status != "refused"}
    if len(taken) > 1:
        yield f"charged {len(taken)} times: payments {', '.join(sorted(taken))}"
    refunds = [one for one in saga.payments if one.refunded is not None]
    if len(refunds) > len({one.payment_id for one in refunds}):
        yield f"refunded {len(refunds)} times"
    for one in refunds:
        if one.refunded != one.amount or one.status != "refunded":
            yield (
                f"payment {one.payment_id} of {_money(one.amount)} is {one.status},"
                f" and {_money(one.refunded)} was refunded"
            )
    for one in taken.values():
        if one.status == "refunded" and one.refunded is None:
            yield f"payment {one.payment_id} says refunded, but no refund is there"
    checkout = saga.checkout
    if checkout:
        kept = sum(one.amount for one in taken.values()) - sum(one.refunded or 0 for one in refunds)
        yield from _kept(saga, checkout, kept)


def ended(saga: Evidence) -> Iterator[str]:
    """3: it has ended, or is parked with its reason and step."""
    checkout, run = saga.checkout, saga.run
    if checkout is None or saga.is_over:
        return
    if run is None and checkout.aside:
        return
    if run is None:
        handed = "handed over, but no coordinator has it" if checkout.handed_over_at else ""
        yield handed or "accepted, and never handed over to its coordinator"
    elif run.status != "parked":
        where = f" at {run.step}" if run.step else ""
        yield f"not ended: {run.status}{where} ({run.service}), {checkout.status} for carrito"
    elif not (run.parked and run.step):
        yield f"parked without {'a reason' if run.step else 'its step'} ({run.service})"


def agreement(saga: Evidence) -> Iterator[str]:
    """4: checkout, order, payment, reservation and coordinator tell the same outcome."""
    checkout = saga.checkout
    if checkout is None or not saga.is_over:
        return
    if checkout.total != checkout.priced:
        yield f"total {_money(checkout.total)}, but its lines come to {_money(checkout.priced)}"
    for run in saga.runs:
        yield from _run_agrees(checkout, run)
    if checkout.status == "completed":
        yield from _sold(saga, checkout)
    else:
        yield from _not_sold(saga, checkout)


def steady(saga: Evidence) -> Iterator[str]:
    """8: nothing ends before it begins, and what has ended stays so."""
    checkout = saga.checkout
    if checkout is None:
        return
    is_final = checkout.status in FINAL
    if is_final != (checkout.ended_at is not None):
        yield f"carrito says {checkout.status}, ended at {checkout.ended_at}"
    for name, at in (("ended", checkout.ended_at), ("ordered", checkout.ordered_at)):
        if at is not None and at < checkout.accepted_at:
            yield f"{name} {checkout.accepted_at - at:.3f} s before it was accepted"
    for name, at in (("confirmed", checkout.confirmed_at), ("cancelled", checkout.cancelled_at)):
        if at is not None and at < (checkout.ordered_at or at):
            yield f"its order was {name} before it was placed"
    for run in saga.runs:
        if run.status in FINAL and run.finished_at is None:
            yield f"{run.status} for {run.service}, but at no time"


def _kept(saga: Evidence, checkout: Checkout, kept: int) -> Iterator[str]:
    if saga.is_skipped:
        return
    at_its_end = checkout.total if saga.is_completed else 0
    wanted = {at_its_end} if saga.is_over else {0, checkout.total}
    if kept not in wanted:
        wants = " or ".join(_money(one) for one in sorted(wanted))
        yield f"{checkout.status}, and {_money(kept)} was kept of {wants}"


def _run_agrees(checkout: Checkout, run: Run) -> Iterator[str]:
    if run.status != checkout.status:
        yield f"{checkout.status} for carrito, {run.status} for {run.service}"
    if run.cart_id != checkout.cart_id:
        yield f"cart {checkout.cart_id} for carrito, {run.cart_id} for {run.service}"
    if run.total != checkout.total:
        yield f"total {_money(checkout.total)}, {_money(run.total)} for {run.service}"
    if not checkout.pattern.startswith(PATTERNS[run.service]):
        yield f"accepted as {checkout.pattern}, run by {run.service}"


def _sold(saga: Evidence, checkout: Checkout) -> Iterator[str]:
    if not saga.runs and not saga.is_local:
        yield "completed, but no coordinator has it"
    if saga.is_skipped:
        return
    if checkout.order_status != "confirmed":
        yield f"completed, but its order is {checkout.order_status or 'missing'}"
    elif checkout.order_total != checkout.total:
        yield f"total {_money(checkout.total)}, {_money(checkout.order_total)} in its order"
    elif checkout.confirmed_at != checkout.ended_at:
        yield "its order was confirmed at another time than the checkout ended"
    held = [(one.status, one.lines) for one in saga.reservations]
    if held != [("committed", checkout.lines)]:
        yield f"completed with {checkout.lines}, but sold: {_listed(held)}"


def _not_sold(saga: Evidence, checkout: Checkout) -> Iterator[str]:
    if not saga.runs and any(one.step != sagas.ACCEPT for one in saga.entries):
        yield f"{checkout.status}, but no coordinator has it"
    if saga.is_skipped:
        return
    if checkout.order_status not in (None, "cancelled"):
        yield f"{checkout.status}, but its order is {checkout.order_status}"
    sold = [(one.status, one.lines) for one in saga.reservations if one.status == "committed"]
    if sold:
        yield f"{checkout.status}, but sold: {_listed(sold)}"
    undone = [step for step in UNDOABLE if saga.undone(step)]
    if checkout.status == "failed" and undone:
        yield f"failed (nothing had to be undone), but undone: {', '.join(undone)}"
    if checkout.status == "compensated" and not undone and not saga.is_local:
        yield "compensated, but nothing was undone"


def _listed(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{lines} {status}" for status, lines in pairs) or "nothing"


def _money(cents: int | None) -> str:
    return "nothing" if cents is None else f"{cents / 100:.2f}"
