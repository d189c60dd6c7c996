"""The tables in memory as the audit's evidence: one set of rules judges both worlds."""

from decimal import Decimal

from checker.explorer.clock import BEGINNING
from checker.explorer.shop.memory.installed import Memory
from checker.explorer.shop.memory.records import CheckoutRow
from contracts.outcomes import Done, Refused
from contracts.sagas import CHECKOUT
from loadtests.audit.evidence import Evidence
from loadtests.audit.tables import Checkout, Entry, Payment, Reservation, Run

SERVICES = sorted({step.service for step in CHECKOUT.steps})


def collect(memory: Memory) -> list[Evidence]:
    """Every saga that any service knows of, and what each says of it."""
    checkouts = {saga_id: _checkout(memory, row) for saga_id, row in _checkouts(memory)}
    entries = _entries(memory)
    runs = _runs(memory)
    known = {*checkouts, *entries, *runs, *memory.ledger.payments, *memory.stock.reservations}
    return [
        Evidence(
            saga_id=saga_id,
            checkouts=[checkouts[saga_id]] if saga_id in checkouts else [],
            payments=_payments(memory, saga_id),
            reservations=_reservations(memory, saga_id),
            runs=runs.get(saga_id, []),
            entries=entries.get(saga_id, []),
        )
        for saga_id in sorted(known)
    ]


def _checkouts(memory: Memory) -> list[tuple[str, CheckoutRow]]:
    return list(memory.records.checkouts.items())


def _checkout(memory: Memory, row: CheckoutRow) -> Checkout:
    checkout = row.checkout
    order = memory.records.orders.get(checkout.saga_id)
    priced = sum((one.unit_price * one.quantity for one in checkout.items), Decimal(0))
    lines = sorted((one.product_id, one.quantity) for one in checkout.items)
    return Checkout(
        saga_id=checkout.saga_id,
        cart_id=checkout.cart_id,
        pattern=checkout.saga_pattern,
        status=row.status,
        total=_cents(checkout.total_amount),
        priced=_cents(priced),
        lines=",".join(f"{product}x{quantity}" for product, quantity in lines),
        failure_step=row.failure.step if row.failure else "",
        accepted_at=row.accepted_at,
        handed_over_at=row.handed_over_at,
        ended_at=row.ended_at,
        order_id=order.order_id if order else None,
        order_status=order.status.value if order else None,
        order_total=_cents(checkout.total_amount) if order else None,
        ordered_at=order.created_at if order else None,
        confirmed_at=order.confirmed_at if order else None,
        cancelled_at=order.cancelled_at if order else None,
    )


def _payments(memory: Memory, saga_id: str) -> list[Payment]:
    held = memory.ledger.payments.get(saga_id)
    if held is None:
        return []
    refunded = memory.ledger.refunds.get(saga_id)
    back = None if refunded is None else _cents(refunded)
    return [Payment(saga_id, held.id, held.status.value, _cents(held.amount), back)]


def _reservations(memory: Memory, saga_id: str) -> list[Reservation]:
    row = memory.stock.reservations.get(saga_id)
    if row is None:
        return []
    lines = ",".join(
        f"{product}x{quantity}" for product, quantity in sorted(row.held.lines.items())
    )
    return [Reservation(saga_id, row.held.status.value, lines)]


def _entries(memory: Memory) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for service in SERVICES:
        for (saga_id, step, direction), row in memory.store.table("barrier." + service).items():
            outcome = row.outcome
            is_done = isinstance(outcome, Done)
            entry = Entry(
                saga_id=saga_id,
                step=step,
                direction=direction,
                status=None if outcome is None else "done" if is_done else "refused",
                code=outcome.code if isinstance(outcome, Refused) else "",
                is_nothing=is_done and "nothing_to_undo" in outcome.data,
                decided_at=row.decided_at,
            )
            found.setdefault(saga_id, []).append(entry)
    return found


def _runs(memory: Memory) -> dict[str, list[Run]]:
    asked: dict[str, list[str]] = {}
    for one in memory.interventions.values():
        asked.setdefault(one.saga_id, []).append(one.action)
    runs: dict[str, list[Run]] = {}
    for saga_id, row in memory.trail.sagas.items():
        finished = row.finished_at and (row.finished_at - BEGINNING).total_seconds()
        run = Run(
            saga_id=saga_id,
            service="saga_choreography",
            status=row.status,
            step=row.parked_step,
            parked=row.parked_reason,
            cart_id=row.cart_id,
            total=_cents(row.total),
            started_at=(row.started_at - BEGINNING).total_seconds(),
            finished_at=finished,
            asked=",".join(asked.get(saga_id, [])),
        )
        runs.setdefault(saga_id, []).append(run)
    for saga_id, row in memory.sagalog.sagas.items():
        run = Run(
            saga_id=saga_id,
            service="saga_orchestrator",
            status=row.status,
            step=row.progress.step.name,
            parked=row.parked_reason,
            cart_id=row.checkout.cart_id,
            total=_cents(row.checkout.total_amount),
            started_at=row.started_at,
            finished_at=row.finished_at,
            asked=",".join(asked.get(saga_id, [])),
        )
        runs.setdefault(saga_id, []).append(run)
    return runs


def _cents(amount: Decimal) -> int:
    return int(amount * 100)
