"""What all services know of each saga, side by side, one saga at a time.

The databases are several, so the join is made here: every table is read in the order of the sagas'
ids, in step with the others. 200,000 sagas need no more memory than one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from contracts.sagas import CHECKOUT
from contracts.statuses import FINAL
from loadtests.audit import reading, tables
from loadtests.audit.tables import Asked, Checkout, Entry, Payment, Reservation, Run

MONOLITH = "monolith"
PARTICIPANTS = tuple(sorted({step.service for step in CHECKOUT.steps}))


@dataclass(kw_only=True)
class Evidence:
    """One saga in all tables. More than one row where there must be one is kept to be told."""

    saga_id: str
    checkouts: Sequence[Checkout] = ()
    payments: Sequence[Payment] = ()
    reservations: Sequence[Reservation] = ()
    runs: Sequence[Run] = ()
    entries: list[Entry] = field(default_factory=list)
    asked: Sequence[Asked] = ()

    checkout: Checkout | None = field(init=False)
    run: Run | None = field(init=False)
    is_over: bool = field(init=False)
    """Whether it has ended, for carrito and for its coordinator (if that has it at all)."""

    def __post_init__(self) -> None:
        # Once a saga, not at each question: a fifth of an audit's time.
        self._by_key = {(one.step, one.direction): one for one in self.entries}
        self.checkout = self.checkouts[0] if self.checkouts else None
        self.run = self.runs[0] if self.runs else None
        ended = self.checkout is not None and self.checkout.ended_at is not None
        self.is_over = ended and all(run.status in FINAL for run in self.runs)

    @property
    def is_by_hand(self) -> bool:
        """Whether somebody called its steps under an id of their own: nobody else knows of it.

        A checkout that carrito had lost would still be known to its coordinator.
        """
        return not self.checkouts and not self.runs

    @property
    def is_local(self) -> bool:
        """Whether it was no saga at all, but one transaction: the floor of a comparison."""
        return self.checkout is not None and self.checkout.pattern == MONOLITH

    @property
    def is_completed(self) -> bool:
        return self.checkout is not None and self.checkout.status == "completed"

    @property
    def is_returned(self) -> bool:
        """Whether somebody asked that it be undone, wherever it stood: a stop that comes too late
        becomes a return.
        """
        return any(asked in ("return", "undo", "stop") for asked in self._asked())

    @property
    def is_skipped(self) -> bool:
        """Whether a person let a step of it be: they answer for it then, not the machinery."""
        return "skip" in self._asked()

    def done(self, step: str) -> Entry | None:
        """The step's own effect, if it was done."""
        found = self._by_key.get((step, "do"))
        return found if found and found.status == "done" else None

    def undone(self, step: str) -> Entry | None:
        """The step's undo, if it undid anything."""
        found = self._by_key.get((step, "undo"))
        return found if found and found.status == "done" and not found.is_nothing else None

    def _asked(self) -> list[str]:
        return [asked for run in self.runs if run.asked for asked in run.asked.split(",")]


def collect(*, saga_id: str | None = None) -> Iterator[Evidence]:
    """Every saga that any service knows of, in the order of their ids; or the one named."""
    with ExitStack() as open_now:

        def read(service: str, statement: str, row: Callable[..., Any]) -> "_Source":
            found = reading.streamed(
                open_now=open_now, service=service, statement=statement, saga_id=saga_id
            )
            return _Source(found, row)

        checkouts = read("carrito", tables.CHECKOUTS, Checkout._make)
        payments = read("pagos", tables.PAYMENTS, Payment._make)
        reservations = read("inventario", tables.RESERVATIONS, Reservation._make)
        runs = [
            read("saga_orchestrator", tables.ORCHESTRATED, Run._make),
            read("saga_choreography", tables.CHOREOGRAPHED, Run._make),
        ]
        asked = read("saga_orchestrator", tables.ASKED, Asked._make)
        barriers = [
            read(service, tables.BARRIER.format(service=service), Entry._make)
            for service in PARTICIPANTS
        ]
        sources = [checkouts, payments, reservations, *runs, asked, *barriers]
        while waiting := [source.next_id for source in sources if source.next_id is not None]:
            first = min(waiting)
            yield Evidence(
                saga_id=first,
                checkouts=checkouts.take(first),
                payments=payments.take(first),
                reservations=reservations.take(first),
                runs=[run for source in runs for run in source.take(first)],
                entries=[entry for source in barriers for entry in source.take(first)],
                asked=asked.take(first),
            )


class _Source:
    """A table's rows in the order of the sagas' ids, taken saga by saga."""

    def __init__(self, rows: Iterator[tuple[Any, ...]], row: Callable[..., Any]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._row = row
        self._rows: list[Any] = []
        self.next_id: str | None = None
        self._advance()

    def take(self, saga_id: str) -> list[Any]:
        """The rows of this saga, the first that is left; none where the next is another's."""
        if self.next_id != saga_id:
            return []
        rows = self._rows
        self._advance()
        return rows

    def _advance(self) -> None:
        self.next_id, rows = next(self._groups, (None, iter(())))
        self._rows = [self._row(one) for one in rows]
