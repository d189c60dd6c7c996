"""Runs the audit: every saga through the rules, the shop as a whole, and what is under way."""

from collections import Counter

from loadtests.audit import evidence, rest, rules, sums
from loadtests.audit.evidence import Evidence
from loadtests.audit.reading import whole_tables
from loadtests.audit.report import Report
from messaging.brokers import Broker


class UnknownSaga(Exception):
    """No service knows of this saga."""


def check(*, broker: Broker) -> Report:
    """Everything. Raises django.db.DatabaseError where a database can't be read."""
    report = Report()
    with whole_tables():
        counts, open_sagas = _check_sagas(report)
        _check_shop(report)
        _check_rest(report, broker, open_sagas)
        _tell_counts(report, counts)
    return report


def check_one(*, saga_id: str) -> tuple[Report, list[str]]:
    """The rules for one saga, and what happened to it, oldest first.

    Raises UnknownSaga, django.db.DatabaseError.
    """
    saga = next(evidence.collect(saga_id=saga_id), None)
    if saga is None:
        raise UnknownSaga(f"no service knows of a saga {saga_id}")
    report = Report()
    for group, what in rules.breaches(saga):
        report.breach(group=group, what=what, saga_id=saga_id)
    return report, _story(saga)


def _check_sagas(report: Report) -> tuple[Counter[str], set[str]]:
    counts: Counter[str] = Counter()
    open_sagas: set[str] = set()
    for saga in evidence.collect():
        if saga.is_by_hand:
            report.notes.append(f"saga {saga.saga_id}: not of a checkout, called by hand")
            continue
        counts.update(_counted(saga))
        if not saga.is_over:
            open_sagas.add(saga.saga_id)
        if saga.is_skipped:
            report.notes.append(f"saga {saga.saga_id}: a person skipped a step of it")
        for group, what in rules.breaches(saga):
            report.breach(group=group, what=what, saga_id=saga.saga_id)
    return counts, open_sagas


def _counted(saga: Evidence) -> list[str]:
    found = ["sagas", *("payments" for _ in saga.payments)]
    found += ["refunds" for one in saga.payments if one.refunded is not None]
    found += ["entries" for _ in saga.entries]
    if saga.checkout:
        found.append(saga.checkout.status if saga.is_over else _open(saga))
    return found


def _open(saga: Evidence) -> str:
    is_aside = saga.run is None and saga.checkout is not None and saga.checkout.aside
    return "parked" if is_aside or (saga.run and saga.run.status == "parked") else "running"


def _check_shop(report: Report) -> None:
    for what in sums.stock():
        report.breach(group=1, what=what)
    for what in sums.plain_payments():
        report.breach(group=2, what=what)
    for saga_id, what in sums.carts():
        report.breach(group=4, what=what, saga_id=saga_id)
    for what in sums.idempotency_keys():
        report.breach(group=8, what=what)
    for saga_id, what in sums.facts():
        report.breach(group=8, what=what, saga_id=saga_id)


def _check_rest(report: Report, broker: Broker, open_sagas: set[str]) -> None:
    for saga_id, what in rest.unsent():
        report.breach(group=7, what=what, saga_id=saga_id)
    for what in rest.queued(broker=broker):
        report.breach(group=7, what=what)
    for saga_id, what, is_breach in rest.parked(open_sagas=open_sagas):
        if is_breach:
            report.breach(group=7, what=what, saga_id=saga_id)
        else:
            report.notes.append(f"{what}{f' (saga {saga_id})' if saga_id else ''}")


def _tell_counts(report: Report, counts: Counter[str]) -> None:
    products = sums.count(service="inventario", table="inventario_product")
    outcomes = ("completed", "failed", "compensated", "parked", "running")
    ends = ", ".join(f"{counts[one]} {one}" for one in outcomes)
    told = {
        1: f"{products} products",
        2: f"{counts['payments']} payments of sagas, {counts['refunds']} refunds",
        3: ends,
        4: f"{counts['sagas']} sagas in five services",
        5: f"{counts['failed'] + counts['compensated']} sagas undone",
        6: f"{counts['entries']} entries of the barriers",
        7: f"{len(rest.SPEAKERS)} outboxes, queues and lists of parked messages",
        8: f"{sum(counts[one] for one in outcomes)} checkouts",
    }
    for number, counted in told.items():
        report.groups[number].counted = counted


def _story(saga: Evidence) -> list[str]:
    """What the services wrote down of it, oldest first, in seconds since its acceptance."""
    start = saga.checkout.accepted_at if saga.checkout else 0.0
    known = sorted(saga.entries, key=lambda one: one.decided_at or 0.0)
    lines = [
        f"{(one.decided_at or 0.0) - start:10.3f} s  {one.direction:<4} {one.step:<17}"
        f" {one.status or 'undecided'} {one.code}{' (nothing to undo)' if one.is_nothing else ''}"
        for one in known
    ]
    lines += [f"{row}" for row in (*saga.checkouts, *saga.payments, *saga.reservations, *saga.runs)]
    return [line.rstrip() for line in lines]
