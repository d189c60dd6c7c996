"""When each step of a saga was asked for, picked up and decided: read from the shop's own rows.

Nothing is written for this: in every pattern the barrier has when each step was picked up and
decided; the time of a call is in the orchestrator's saga log, that of a message in its outbox.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from contracts import projection
from contracts.events import route
from contracts.patterns import CONDUCTORS
from contracts.saga import Direction, Saga
from loadtests.measuring.outcomes import Rows
from loadtests.measuring.samples import COMPLETED, Moments, Sample
from loadtests.shop import Shop

MOST_SAGAS = 200
"""Of a window, evenly spread over it."""

Step = tuple[str, str]
"""Saga id and step."""


class Timeline:
    """Reads the databases of a running shop, a window at a time."""

    def __init__(self, *, shop: Shop) -> None:
        self._saga = shop.saga
        self._participants = projection.services_of(shop.saga)
        self._asks = asks_of(saga=shop.saga)
        self._rows = Rows(shop=shop)
        self._read_until = dict.fromkeys(shop.services, 0)

    def close(self) -> None:
        self._rows.close()

    def of(self, *, samples: Sequence[Sample]) -> list[Moments]:
        """The steps of completed sagas of a window, saga by saga, in order; the shop must be idle.

        A saga with an unknown moment (its pattern has no such rows) is left out.
        """
        chosen = chosen_of(samples=samples)
        ids = [sample.saga_id for sample in chosen]
        done = self._done(ids)
        called, again = self._called(ids)
        asked = called | self._sent(ids)
        again |= self._repeats(ids)
        found = [
            moments_of(sample=sample, saga=self._saga, done=done, asked=asked, again=again)
            for sample in chosen
        ]
        return [moments for saga in found for moments in saga]

    def _done(self, ids: Sequence[str]) -> dict[Step, tuple[float, float]]:
        """When each step was picked up and decided: its transaction's begin, and its outcome."""
        return {
            (row[0], row[1]): (row[2], row[3])
            for service in self._participants
            for row in self._rows.of(
                service,
                f"""
                SELECT saga_id, step, extract(epoch FROM entered_at)::float8,
                       extract(epoch FROM decided_at)::float8
                FROM {service}_barrierentry
                WHERE saga_id = ANY(%s) AND direction = 'do' AND status = 'done'
                """,
                [list(ids)],
            )
        }

    def _called(self, ids: Sequence[str]) -> tuple[dict[Step, float], dict[Step, int]]:
        """When each call was due, which is stored before the call, and how often it was made.

        If the request is a message instead, the time at which that was sent counts.
        """
        rows = [
            row
            for service in CONDUCTORS
            for row in self._rows.of(
                service,
                f"""
                SELECT saga_id, name, extract(epoch FROM started_at)::float8, do_attempts
                FROM {service}_sagastep WHERE saga_id = ANY(%s) AND started_at IS NOT NULL
                """,
                [list(ids)],
            )
        ]
        due = {(row[0], row[1]): row[2] for row in rows}
        return due, {(row[0], row[1]): max(int(row[3]), 1) for row in rows}

    def _sent(self, ids: Sequence[str]) -> dict[Step, float]:
        """When the message that asks for each step was given to the broker.

        The outbox has no index by saga, so only rows since the last window are read.
        """
        found: dict[Step, float] = {}
        for service, seen in self._read_until.items():
            rows = self._rows.of(
                service,
                f"""
                SELECT saga_id, event_type, extract(epoch FROM sent_at)::float8
                FROM {service}_outboxentry
                WHERE id > %s AND saga_id = ANY(%s) AND sent_at IS NOT NULL ORDER BY id
                """,
                [seen, list(ids)],
            )
            found |= {(row[0], self._asks[row[1]]): row[2] for row in rows if row[1] in self._asks}
            newest = self._rows.of(service, f"SELECT max(id) FROM {service}_outboxentry")
            self._read_until[service] = newest[0][0] or seen
        return found

    def _repeats(self, ids: Sequence[str]) -> dict[Step, int]:
        """The attempts of the steps whose message was handled more than once."""
        found: dict[Step, int] = {}
        for service in self._read_until:
            parked = f"""
                SELECT saga_id, event_type, attempts FROM {service}_failedmessage
                WHERE saga_id = ANY(%s)
                """
            rows = self._rows.of(service, parked, [list(ids)])
            found |= {
                (row[0], self._asks[row[1]]): row[2] + 1 for row in rows if row[1] in self._asks
            }
        return found


def asks_of(*, saga: Saga) -> dict[str, str]:
    """The step that a message asks for, by its route: with an orchestrator the route of a request,
    else that of the event before the step (docs/reference/events.md).
    """
    return {
        route(saga.name, name): step.name
        for before, step in pairwise(saga.steps)
        for name in (before.done, projection.request_of(step, Direction.DO))
    }


def chosen_of(*, samples: Sequence[Sample]) -> list[Sample]:
    """At most MOST_SAGAS of those that completed, evenly spread."""
    completed = [sample for sample in samples if sample.outcome == COMPLETED]
    return completed[:: -(-len(completed) // MOST_SAGAS) or 1]


def moments_of(
    *,
    sample: Sample,
    saga: Saga,
    done: Mapping[Step, tuple[float, float]],
    asked: Mapping[Step, float],
    again: Mapping[Step, int],
) -> list[Moments]:
    """The steps of one saga; none if one of their moments is unknown."""
    known = {**asked, (sample.saga_id, saga.steps[0].name): sample.intended_at}
    keys = [(sample.saga_id, step.name) for step in saga.steps]
    if not all(key in done and key in known for key in keys):
        return []
    return [
        Moments(
            window=sample.window,
            pattern=sample.pattern,
            saga_id=sample.saga_id,
            step=key[1],
            asked_at=known[key],
            picked_up_at=done[key][0],
            decided_at=sample.ended_at if key is keys[-1] else done[key][1],
            attempts=again.get(key, 1),
        )
        for key in keys
    ]
