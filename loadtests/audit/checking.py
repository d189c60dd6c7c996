"""Runs the audit: every saga through the rules, the shop as a whole, and what is under way; and
what it found: for each group what was counted, and every breach by name.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from contracts.services import WITH_DATABASE
from loadtests.audit import evidence, rest, rules
from loadtests.audit.evidence import Entry, Evidence
from loadtests.audit.reading import whole_tables
from loadtests.audit.rules import Rules
from messaging.brokers import Broker

SHOWN = 20
"""Breaches named in a group; further ones are only counted."""

TITLES = {
    1: "stock and couriers add up",
    2: "money adds up",
    3: "every accepted saga has ended",
    4: "the services agree",
    5: "undone once, in reverse order",
    6: "no effect without its cause",
    7: "at rest",
    8: "one key one saga, no way back",
}


@dataclass(frozen=True, kw_only=True)
class Breach:
    """Something that must never be. `saga_id` is empty where it concerns no single saga."""

    saga_id: str
    what: str


@dataclass(kw_only=True)
class Group:
    """One of the eight groups."""

    number: int
    counted: str = ""
    count: int = 0
    breaches: list[Breach] = field(default_factory=list)

    @property
    def title(self) -> str:
        return TITLES[self.number]


@dataclass(kw_only=True)
class Report:
    """All groups. `notes`: what a person should know, and what is no breach."""

    groups: dict[int, Group] = field(
        default_factory=lambda: {number: Group(number=number) for number in TITLES}
    )
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not any(group.count for group in self.groups.values())

    def breach(self, *, group: int, what: str, saga_id: str = "") -> None:
        """Counts a breach, and keeps the first of each group by name."""
        found = self.groups[group]
        found.count += 1
        if len(found.breaches) < SHOWN:
            found.breaches.append(Breach(saga_id=saga_id, what=what))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "clean": self.is_clean,
            "groups": [
                {
                    "number": group.number,
                    "title": group.title,
                    "counted": group.counted,
                    "breach_count": group.count,
                    "breaches": [
                        {"saga_id": one.saga_id or None, "what": one.what} for one in group.breaches
                    ],
                }
                for group in self.groups.values()
            ],
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """For people: a line a group, and below it its breaches."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        for group in self.groups.values():
            verdict = f"{group.count} BREACHED" if group.count else "ok"
            yield f"{group.number}  {group.title:<31} {verdict:<12} {group.counted}"
            for one in group.breaches:
                yield f"     {f'saga {one.saga_id}: ' if one.saga_id else ''}{one.what}"
            if group.count > len(group.breaches):
                yield f"     ... and {group.count - len(group.breaches)} more"
        yield from (f"note: {note}" for note in self.notes)
        total = sum(group.count for group in self.groups.values())
        yield "The audit is clean." if self.is_clean else f"BREACHED: {total} in all."


ENDS = ("completed", "failed", "compensated", "parked", "running")


class UnknownSaga(Exception):
    """No service knows of this saga."""


def check(*, broker: Broker) -> Report:
    """Everything. Raises NotAuditable; django.db.DatabaseError where a database can't be read."""
    known, report = Rules(), Report()
    with whole_tables():
        rules.check_known()
        counts, open_sagas = _check_sagas(report, known)
        _check_shop(report, known)
        _check_rest(report, broker, open_sagas)
        _tell_counts(report, known, counts)
    return report


def check_one(*, saga_id: str) -> tuple[Report, list[str]]:
    """The rules for one saga, and what happened to it, oldest first.

    Raises UnknownSaga, NotAuditable, django.db.DatabaseError.
    """
    known = Rules()
    rules.check_known(saga_id=saga_id)
    saga = next(evidence.collect(more=known.sources, saga_id=saga_id), None)
    if saga is None:
        raise UnknownSaga(f"no service knows of a saga {saga_id}")
    report = Report()
    if not saga.is_by_hand:
        for group, what in known.breaches(saga):
            report.breach(group=group, what=what, saga_id=saga_id)
    return report, _story(saga)


def _check_sagas(report: Report, known: Rules) -> tuple[Counter[str], set[str]]:
    counts: Counter[str] = Counter()
    open_sagas: set[str] = set()
    for saga in evidence.collect(more=known.sources):
        if saga.is_by_hand:
            report.notes.append(f"saga {saga.saga_id}: called by hand, and part of no saga")
            continue
        counts["sagas"] += 1
        counts["entries"] += len(saga.entries)
        if saga.accepted:
            counts[saga.status if saga.is_over else _open(saga)] += 1
        if not saga.is_over:
            open_sagas.add(saga.saga_id)
        if saga.is_skipped:
            report.notes.append(f"saga {saga.saga_id}: a person skipped a step of it")
        for group, what in known.breaches(saga):
            report.breach(group=group, what=what, saga_id=saga.saga_id)
    return counts, open_sagas


def _open(saga: Evidence) -> str:
    is_aside = saga.run is None and saga.accepted is not None and saga.accepted.aside
    return "parked" if is_aside or (saga.run and saga.run.status == "parked") else "running"


def _check_shop(report: Report, known: Rules) -> None:
    for group, saga_id, what in chain.from_iterable(one.sums() for one in known.services):
        report.breach(group=group, what=what, saga_id=saga_id)
    for what in rest.idempotency_keys():
        report.breach(group=8, what=what)
    for saga_id, what in rest.events():
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


def _tell_counts(report: Report, known: Rules, counts: Counter[str]) -> None:
    told = [
        (3, ", ".join(f"{counts[one]} {one}" for one in ENDS)),
        (4, f"{counts['sagas']} sagas in {len(WITH_DATABASE)} services"),
        (5, f"{counts['failed'] + counts['compensated']} sagas undone"),
        (6, f"{counts['entries']} entries of the barriers"),
        (7, f"{len(WITH_DATABASE)} outboxes, queues and lists of parked messages"),
        (8, f"{sum(counts[one] for one in ENDS)} accepted sagas"),
    ]
    for number, words in chain(told, *(one.counted() for one in known.services)):
        group = report.groups[number]
        group.counted = f"{group.counted}, {words}" if group.counted else words


def _story(saga: Evidence) -> list[str]:
    """What the services wrote down of it, oldest first, in seconds since its acceptance."""
    start = saga.accepted.accepted_at if saga.accepted else 0.0
    known = sorted(saga.of(Entry), key=lambda one: one.decided_at or 0.0)
    lines = [
        f"{(one.decided_at or 0.0) - start:10.3f} s  {one.direction:<4} {one.step:<17}"
        f" {one.status or 'undecided'} {one.code}{' (nothing to undo)' if one.is_nothing else ''}"
        for one in known
    ]
    lines += [f"{row}" for kind, rows in saga.rows.items() if kind is not Entry for row in rows]
    return [line.rstrip() for line in lines]
