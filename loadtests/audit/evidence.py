"""What all services know of each saga, side by side, one saga at a time.

The databases are several, so the join is made here: every table is read in the order of the sagas'
ids, in step with the others. 200,000 sagas need no more memory than one.

Money comes in cents and times in epoch seconds, so that Python compares plain numbers. A
saga's id is collated "C" everywhere: in Python's own order of strings.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache, cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.conf import settings

from catalogue import SAGAS
from catalogue.services import COORDINATORS, PARTICIPANTS
from contracts import projection
from contracts.patterns import CONDUCTORS
from contracts.saga import Direction, Saga, Step
from contracts.states import FINAL
from loadtests.audit import reading
from loadtests.shop import accepted_table, owners

MONOLITH = "monolith"

T = TypeVar("T")

Finding = tuple[int, str]
"""The number of a group, and what is wrong."""


class AcceptedRow(NamedTuple):
    """A saga as its owner has it. `data`: what its steps see, as JSON; `digest`: of that.
    `dead_letter`: why it can't be handed over, or empty. `is_old`: it ended longer ago than
    what others know of it is kept.
    """

    saga_id: str
    service: str
    saga: str
    pattern: str
    subject: str
    status: str
    total: int | None
    data: str
    digest: str
    accepted_at: float
    handed_over_at: float | None
    ended_at: float | None
    dead_letter: str = ""
    closed_at: float | None = None
    is_old: bool = False


class CoordinatorRow(NamedTuple):
    """A coordinator's saga. `parked`: why; `asked`: what people asked of it."""

    saga_id: str
    service: str
    saga: str
    status: str
    step: str
    parked: str
    subject: str
    digest: str
    finished_at: float | None
    asked: str


class EntryRow(NamedTuple):
    """The barrier of a service: what it answered for a step in one direction. `saga`: the saga's
    name, empty where the step was called by hand.
    """

    saga_id: str
    service: str
    saga: str
    step: str
    direction: str
    status: str | None
    code: str
    is_nothing: bool
    decided_at: float | None


class RequestsRow(NamedTuple):
    """What the orchestrator has asked for by message, of a saga that goes so. `requests`: by route,
    as `a,b`.
    """

    saga_id: str
    requests: str


class RowSource(NamedTuple):
    """A table of a service, read by saga. `statement`: of all sagas, with a column `saga_id`,
    the first. `row`: what each row becomes.
    """

    service: str
    row: type[Any]
    statement: str


_ACCEPTED = """
    SELECT saga_id, '{service}', saga, saga_pattern, coalesce(context ->> 'subject', ''), status,
           (total_amount * 100)::bigint,
           coalesce(context ->> 'data', ''), md5(coalesce(context ->> 'data', '')),
           extract(epoch FROM accepted_at)::float8, extract(epoch FROM handed_over_at)::float8,
           extract(epoch FROM ended_at)::float8,
           CASE WHEN dead_lettered_at IS NULL THEN '' ELSE dead_letter_reason END,
           extract(epoch FROM closed_at)::float8,
           coalesce(ended_at < now() - make_interval(secs => {keep}), false)
    FROM {table}
"""

_BARRIER = """
    SELECT saga_id, '{service}', saga, step, direction, status, code, data ? 'nothing_to_undo',
           extract(epoch FROM decided_at)::float8
    FROM {service}_barrierentry
"""

_RUNS = """
    SELECT saga_id, '{service}', {name}, status, {step}, parked_reason, subject,
           md5(coalesce(context ->> 'data', '')), extract(epoch FROM finished_at)::float8,
           (SELECT coalesce(string_agg(action, ','), '')
            FROM {service}_intervention AS asked WHERE asked.saga_id = saga.saga_id)
    FROM {service}_saga AS saga
"""
_COLUMNS = {
    **{service: {"name": "name", "step": "current_step"} for service in CONDUCTORS},
    "saga_choreography": {"name": "saga", "step": "parked_step"},
}
"""What each coordinator calls the saga's name, and where it stands."""

# Young ones only: what was sent is kept for six hours.
ASKED = """
    SELECT saga.saga_id, coalesce(string_agg(DISTINCT event_type, ','), '')
    FROM saga_orchestrator_saga AS saga
    LEFT JOIN saga_orchestrator_outboxentry AS said ON said.saga_id = saga.saga_id
    WHERE pattern = 'orchestrated_messaging' AND started_at > now() - interval '5 hours'
    GROUP BY saga.saga_id
"""


class SagaSteps(NamedTuple):
    """A saga's page as the rules need it. `forward`, `backward`: its steps that can be undone, up
    to the pivot and all, both last first. `requests`: each with its step and direction.
    """

    saga: Saga
    steps: tuple[Step, ...]
    pivot: str
    forward: tuple[str, ...]
    backward: tuple[str, ...]
    requests: tuple[tuple[str, str, Direction], ...]


@cache
def steps_of(name: str) -> SagaSteps:
    """Raises KeyError where the catalogue has no such saga."""
    saga = SAGAS[name]
    undoable = [step.name for step in saga.steps if step.undone]
    before = [step.name for step in saga.steps[: saga.pivot] if step.undone]
    return SagaSteps(
        saga=saga,
        steps=saga.steps,
        pivot=saga.steps[saga.pivot].name if saga.pivot < len(saga.steps) else "",
        forward=tuple(reversed(before)),
        backward=tuple(reversed(undoable)),
        requests=tuple(
            (f"{name}.{call.request}", call.step.name, call.direction)
            for call in projection.calls(name)
            if call.direction is not Direction.BLOCK
        ),
    )


@dataclass(kw_only=True)
class Evidence:
    """One saga in all tables, by the kind of row. More than one row where there must be one is
    kept to be told.
    """

    saga_id: str
    rows: Mapping[type[Any], Sequence[Any]]

    accepted: AcceptedRow | None = field(init=False)
    run: CoordinatorRow | None = field(init=False)
    runs: Sequence[CoordinatorRow] = field(init=False)
    entries: Sequence[EntryRow] = field(init=False)
    name: str = field(init=False)
    """Of the saga, as its owner has it, else as any other; empty where only a hand was."""
    is_completed: bool = field(init=False)
    is_over: bool = field(init=False)
    """Whether it has ended, for its owner and for its coordinator (if that has it at all)."""
    is_closed: bool = field(init=False)
    """Whether it ended so long ago that its coordinator, which is the first, has forgotten it, and
    services may have."""

    def __post_init__(self) -> None:
        # Once a saga, not at each question: a fifth of an audit's time.
        self.runs = self.of(CoordinatorRow)
        self.accepted = next(iter(self.of(AcceptedRow)), None)
        self.run = self.runs[0] if self.runs else None
        self.entries = self._own_entries()
        self._done = {
            entry.step: entry
            for entry in self.entries
            if entry.direction == "do" and entry.status == "done"
        }
        self._undone = {
            entry.step: entry
            for entry in self.entries
            if entry.direction == "undo" and entry.status == "done" and not entry.is_nothing
        }
        known = self.accepted or self.run or next(iter(self.entries), None)
        self.name = known.saga if known else ""
        self.is_completed = self.accepted is not None and self.accepted.status == "completed"
        ended = self.accepted is not None and self.accepted.ended_at is not None
        self.is_over = ended and all(run.status in FINAL for run in self.runs)
        closed = self.accepted is not None and (
            self.accepted.closed_at is not None or self.accepted.is_old
        )
        self.is_closed = closed and self.is_over and not self.runs

    def of(self, kind: type[T]) -> Sequence[T]:
        """Its rows of this kind."""
        return self.rows.get(kind, ())

    @cached_property
    def page(self) -> SagaSteps:
        return steps_of(self.name)

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """What its steps see; empty where it can't be read."""
        try:
            return msgspec.json.decode(self.accepted.data if self.accepted else "{}", type=dict)
        except (msgspec.MsgspecError, RecursionError):
            return {}

    @property
    def is_by_hand(self) -> bool:
        """Whether its steps were called by hand under an id of their own: only barriers know of it,
        and no saga. What no barrier knows of either is an effect without a cause.
        """
        return not self.name and bool(self.of(EntryRow))

    @property
    def is_local(self) -> bool:
        """Whether it was no saga at all, but one transaction: the floor of a comparison."""
        return self.accepted is not None and self.accepted.pattern == MONOLITH

    @property
    def status(self) -> str:
        """As its owner has it; empty where no owner has it."""
        return self.accepted.status if self.accepted else ""

    @property
    def is_returned(self) -> bool:
        """Whether a user asked that it be undone, wherever it stood: a stop that comes too late
        becomes a return.
        """
        return any(asked in _BACK for asked in self._asked())

    @property
    def is_skipped(self) -> bool:
        """Whether a person let a step of it be: they answer for it then, not the machinery."""
        return "skip" in self._asked()

    def done(self, step: str) -> EntryRow | None:
        """The step's own effect, if it was done."""
        return self._done.get(step)

    def undone(self, step: str) -> EntryRow | None:
        """The step's undo, if it undid anything."""
        return self._undone.get(step)

    def _own_entries(self) -> Sequence[EntryRow]:
        """Without what was called by hand under its id: that names no saga, and no step of this
        one. (What was written before the barrier had the saga's name does name a step of it.)
        """
        every = self.of(EntryRow)
        if all(entry.saga for entry in every):
            return every
        saga = self.accepted.saga if self.accepted else ""
        names = {step.name for step in SAGAS[saga].steps} if saga in SAGAS else set()
        return [entry for entry in every if entry.saga or entry.step in names]

    def _asked(self) -> list[str]:
        return [asked for run in self.runs if run.asked for asked in run.asked.split(",")]


_SAGA_ID = itemgetter(0)
"""Of any row."""
_BACK = frozenset({"return", "undo", "stop"})


def sources() -> list[RowSource]:
    """The tables that every saga has rows in."""
    return [
        *(
            RowSource(
                owner,
                AcceptedRow,
                _ACCEPTED.format(
                    service=owner,
                    table=accepted_table(service=owner),
                    keep=settings.KEEP_SECONDS,
                ),
            )
            for owner in owners()
        ),
        *(
            RowSource(
                coordinator,
                CoordinatorRow,
                _RUNS.format(service=coordinator, **_COLUMNS[coordinator]),
            )
            for coordinator in COORDINATORS
        ),
        *(
            RowSource(participant, EntryRow, _BARRIER.format(service=participant))
            for participant in PARTICIPANTS
        ),
        RowSource("saga_orchestrator", RequestsRow, ASKED),
    ]


def collect(*, more: Sequence[RowSource] = (), saga_id: str | None = None) -> Iterator[Evidence]:
    """Every saga that any service knows of, in the order of their ids; or the one named.

    `more`: the services' own tables.
    """
    with ExitStack() as open_now:
        tables = [_rows(source, open_now, saga_id) for source in (*sources(), *more)]
        for each, found in groupby(heapq.merge(*tables, key=_SAGA_ID), key=_SAGA_ID):
            rows: dict[type[Any], list[Any]] = {}
            for row in found:
                rows.setdefault(type(row), []).append(row)
            yield Evidence(saga_id=each, rows=rows)


def _rows(source: RowSource, open_now: ExitStack, saga_id: str | None) -> Iterator[Any]:
    """A table's rows in the order of the sagas' ids."""
    found = reading.streamed(
        open_now=open_now, service=source.service, statement=source.statement, saga_id=saga_id
    )
    return map(source.row._make, found)


def money(cents: int | None) -> str:
    """As people write it."""
    return "nothing" if cents is None else f"{cents / 100:.2f}"


def lines_of(items: Sequence[Mapping[str, Any]]) -> str:
    """As `1x2,3x1`, in the order of the products; empty where they can't be read."""
    try:
        found = sorted((str(item["product_id"]), item["quantity"]) for item in items)
    except (KeyError, TypeError):
        return ""
    return ",".join(f"{product}x{quantity}" for product, quantity in found)


def cents_of(amount: object) -> int | None:
    """An amount of money as a saga's data have it; None where it is none."""
    try:
        return None if amount is None else round(Decimal(str(amount)) * 100)
    except (InvalidOperation, ValueError, OverflowError):
        return None
