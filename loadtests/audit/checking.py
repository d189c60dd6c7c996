"""Runs the audit: the rules (generic, by service, by saga) on every saga, on the shop as a whole,
and on what is in flight; reports for each group what was counted, and every breach.
"""

import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import Any, Protocol

from catalogue import SAGAS
from catalogue.services import BY_NAME, PARTICIPANTS, WITH_WORKER
from loadtests.audit import evidence, generic, rest, sagas, story, waiting
from loadtests.audit.evidence import Evidence, Finding, RowSource, steps_of
from loadtests.audit.generic import Effect
from loadtests.audit.reading import everywhere, rows, whole_tables
from loadtests.shop import owners
from messaging.brokers import Broker

_NAMES = "SELECT DISTINCT saga FROM {accepted}"
_COMPLETED = "SELECT 1 FROM {accepted} WHERE saga = %s AND status = 'completed' LIMIT 1"
_STEPS = """
    SELECT DISTINCT saga, step FROM {service}_barrierentry
    WHERE saga <> '' AND (%s::text IS NULL OR saga_id = %s)
"""
_OTHER_DEFINITION = (
    "The audit needs the definitions that the sagas ran with: set DUETO_EXTRA_STEPS as it was then,"
    " or check out the version that had these steps."
)
_NO_DEFINITION = (
    "and the catalogue (catalogue) has no such definition: audit with the version that has it."
)
SHOWN = 20
"""Breaches listed in a group; further ones are only counted."""
TITLES = {
    1: "stock and couriers add up",
    2: "money adds up",
    3: "every accepted saga has ended",
    4: "the services agree",
    5: "undone once, in reverse order",
    6: "no effect without its cause",
    7: "nothing in flight",
    8: "one key one saga, no status goes back",
}
TITLE = max(map(len, TITLES.values()))
WIDTH = 79
ENDS = ("completed", "failed", "compensated", "parked", "waiting", "running")


class NotAuditable(Exception):
    """The data is of a kind that no rule covers, so it can't be called clean. The text says what to
    do.
    """


class ServiceRules(Protocol):
    """What a module of `services` declares.

    `SOURCES`: its own tables, by saga. `EFFECTS`: what they show of each operation. `COUNTED`: what
    was checked: group, a statement for one row, and a text with a place for each of its counts.
    """

    SOURCES: Sequence[RowSource]
    EFFECTS: Sequence[Effect]
    COUNTED: Sequence[tuple[int, str, str]]

    def breaches(self, saga: Evidence) -> Iterator[Finding]:
        """The breaches in its rows of this saga."""

    def sums(self) -> Iterator[tuple[int, str, str]]:
        """The breaches of the service as a whole: group, saga id or empty, what."""


class Rules:
    """All rules. Raises NotAuditable if a participant of the register has none."""

    def __init__(self) -> None:
        asked = {other for name in PARTICIPANTS for other in BY_NAME[name].asks}
        names = [*PARTICIPANTS, *sorted(asked - {*PARTICIPANTS})]
        self._services = {name: _of_service(name) for name in names}
        self.sources = waiting.sources()
        for service in self._services.values():
            self.sources += service.SOURCES
        self._effects: dict[str, list[Effect]] = {}
        for service in self._services.values():
            for effect in service.EFFECTS:
                self._effects.setdefault(effect.operation, []).append(effect)

    def breaches(self, saga: Evidence) -> Iterator[Finding]:
        """Every breach of this saga, with the number of its group."""
        if saga.name not in SAGAS:
            yield 6, f"no owner accepted it, but there is {generic.what_there_is(saga)}"
            return
        yield from generic.breaches(saga, self._effects)
        for service in self._services.values():
            yield from service.breaches(saga)
        if own := sagas.OWN_RULES.get(saga.name):
            yield from own(saga)

    def sums(self) -> Iterator[tuple[int, str, str]]:
        """The breaches of the services as wholes."""
        return chain.from_iterable(service.sums() for service in self._services.values())

    def counted(self) -> Iterator[tuple[int, str]]:
        """What was checked, in words, by group."""
        for name, service in self._services.items():
            for group, statement, words in service.COUNTED:
                (counts,) = rows(service=name, statement=statement)
                yield group, words.format(*counts)


def check_known(*, saga_id: str | None = None) -> None:
    """Raises NotAuditable for a saga or step that the catalogue does not define. `saga_id`: checks
    the steps of that saga only.
    """
    for service, name in everywhere(services=owners(), statement=_NAMES):
        if name not in SAGAS:
            raise NotAuditable(f"{service} has accepted sagas {name!r}, {_NO_DEFINITION}")
    seen: dict[str, set[str]] = {}
    for service, name, step in everywhere(
        services=PARTICIPANTS, statement=_STEPS, values=[saga_id, saga_id]
    ):
        if name not in SAGAS:
            raise NotAuditable(f"{service} took part in sagas {name!r}, {_NO_DEFINITION}")
        if step not in {step.name for step in steps_of(name).steps if step.service == service}:
            raise NotAuditable(
                f"{service} has done the step {step!r} of {name}, and that saga's definition has no"
                f" such step there. {_OTHER_DEFINITION}"
            )
        seen.setdefault(name, set()).add(step)
    for name in SAGAS if saga_id is None else ():
        _check_padding(name, seen.get(name, set()))


def _check_padding(name: str, seen: Collection[str]) -> None:
    """Raises NotAuditable if the definition has padding steps that no completed saga has done."""
    saga = SAGAS[name]
    pads = {step.name for step in saga.steps if step.operation.endswith(".pad")}
    completed = everywhere(services=[saga.owner], statement=_COMPLETED, values=[name])
    if pads - set(seen) and any(completed):
        steps = ", ".join(sorted(pads - set(seen)))
        raise NotAuditable(f"no saga has done {steps} of {name}. {_OTHER_DEFINITION}")


def _of_service(name: str) -> ServiceRules:
    module = f"{__package__}.services.{name}"
    if find_spec(module) is None:
        raise NotAuditable(
            f"{name} takes part (catalogue/services.py), but has no rules: write"
            f" loadtests/audit/services/{name}.py."
        )
    found: ServiceRules = import_module(module)
    return found


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A violated rule. `saga_id` is empty if it concerns no single saga."""

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
class AuditReport:
    """All groups. `notes`: for people; these are no breaches."""

    groups: dict[int, Group] = field(
        default_factory=lambda: {number: Group(number=number) for number in TITLES}
    )
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not any(group.count for group in self.groups.values())

    def breach(self, *, group: int, what: str, saga_id: str = "") -> None:
        """Counts a breach, and keeps the first SHOWN of each group."""
        found = self.groups[group]
        found.count += 1
        if len(found.breaches) < SHOWN:
            found.breaches.append(Breach(saga_id=saga_id, what=what))

    def as_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "clean": self.is_clean,
            "groups": [
                {
                    "number": group.number,
                    "title": group.title,
                    "counted": group.counted,
                    "breach_count": group.count,
                    "breaches": [
                        {"saga_id": breach.saga_id or None, "what": breach.what}
                        for breach in group.breaches
                    ],
                }
                for group in self.groups.values()
            ],
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """For people: a line per group, and below it what was checked, and its breaches."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        for group in self.groups.values():
            yield f"{group.number}  {group.title:<{TITLE}} " + (
                f"{group.count} BREACHED" if group.count else "ok"
            )
            if group.counted:
                yield textwrap.indent(textwrap.fill(group.counted, WIDTH - 3), "   ")
            for breach in group.breaches:
                yield f"     {f'saga {breach.saga_id}: ' if breach.saga_id else ''}{breach.what}"
            if group.count > len(group.breaches):
                yield f"     ... and {group.count - len(group.breaches)} more"
        for note in self.notes:
            yield textwrap.fill(f"note: {note}", WIDTH, break_on_hyphens=False)
        total = sum(group.count for group in self.groups.values())
        yield "The audit is clean." if self.is_clean else f"BREACHED: {total} in all."


class SagaNotFound(Exception):
    """No service has this saga."""


def check(*, broker: Broker) -> AuditReport:
    """Checks everything. Raises NotAuditable, django.db.DatabaseError."""
    known, report = Rules(), AuditReport()
    with whole_tables():
        check_known()
        counts, open_sagas = _check_sagas(report, known)
        _check_shop(report, known, broker, open_sagas)
        _tell_counts(report, known, counts)
    return report


def check_one(*, saga_id: str) -> tuple[AuditReport, list[str]]:
    """Checks one saga; also returns its history, oldest first.

    Raises SagaNotFound, NotAuditable, django.db.DatabaseError.
    """
    known = Rules()
    check_known(saga_id=saga_id)
    saga = next(evidence.collect(more=known.sources, saga_id=saga_id), None)
    if saga is None:
        raise SagaNotFound(f"no service has a saga {saga_id}")
    report = AuditReport()
    if not saga.is_by_hand:
        for group, what in known.breaches(saga):
            report.breach(group=group, what=what, saga_id=saga_id)
    return report, story.story(saga)


def _check_sagas(report: AuditReport, known: Rules) -> tuple[Counter[str], set[str]]:
    counts: Counter[str] = Counter()
    open_sagas: set[str] = set()
    for saga in evidence.collect(more=known.sources):
        if saga.is_by_hand:
            report.notes.append(f"saga {saga.saga_id}: steps called by hand, not a saga")
            continue
        counts["sagas"] += 1
        counts["entries"] += len(saga.entries)
        counts["closed"] += saga.is_closed
        if saga.accepted:
            counts[saga.status if saga.is_over else _open(saga)] += 1
        if not saga.is_over:
            open_sagas.add(saga.saga_id)
        if saga.is_skipped:
            report.notes += [f"saga {saga.saga_id}: {what}" for what in story.skipped(saga)]
        for group, what in known.breaches(saga):
            report.breach(group=group, what=what, saga_id=saga.saga_id)
    return counts, open_sagas


def _open(saga: Evidence) -> str:
    is_dead_lettered = saga.run is None and saga.accepted is not None and saga.accepted.dead_letter
    if is_dead_lettered or (saga.run and saga.run.status == "parked"):
        return "parked"
    return "waiting" if waiting.of(saga) else "running"


def _check_shop(report: AuditReport, known: Rules, broker: Broker, open_sagas: set[str]) -> None:
    for group, saga_id, what in chain(
        known.sums(),
        rest.idempotency_keys(),
        rest.events(),
        rest.unsent(),
        waiting.untold(),
        rest.queued(broker=broker),
    ):
        report.breach(group=group, what=what, saga_id=saga_id)
    for saga_id, what, is_breach in rest.parked(open_sagas=open_sagas):
        if is_breach:
            report.breach(group=7, what=what, saga_id=saga_id)
        else:
            report.notes.append(f"{what}{f' (saga {saga_id})' if saga_id else ''}")


def _tell_counts(report: AuditReport, known: Rules, counts: Counter[str]) -> None:
    told = [
        (3, ", ".join(f"{end}: {counts[end]}" for end in ENDS)),
        (4, f"services: {len(WITH_WORKER)}, sagas: {counts['sagas']}"),
        (4, f"closed, with their owner's record alone left: {counts['closed']}"),
        (5, f"undone sagas: {counts['failed'] + counts['compensated']}"),
        (6, f"entries of the barriers: {counts['entries']}"),
        (7, f"outboxes, queues and lists of failed messages: {len(WITH_WORKER)} each"),
        (8, f"accepted sagas: {sum(counts[end] for end in ENDS)}"),
    ]
    for number, words in chain(told, known.counted()):
        group = report.groups[number]
        group.counted = f"{group.counted}, {words}" if group.counted else words
