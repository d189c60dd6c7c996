"""What each service's app offers to its processes and to /health, alike for all of a kind: Django's
`AppConfig` of a participant, of one that accepts sagas, and of a coordinator.

Modules are looked up by name when they are asked for: an app is configured before its models. An
`apps.py` imports this module, not its classes: Django would take each for the app's own.
"""

from collections.abc import Sequence
from importlib import import_module
from itertools import product
from typing import Any

from django.apps import AppConfig
from django.urls import URLPattern

from contracts.patterns import of_coordinator
from contracts.saga import SAGAS
from contracts.states import Complaint, SagaSummary
from messaging import retention
from messaging.brokers import Broker
from messaging.retention import Chore, Cleaner, Deleting, RetentionRule
from messaging.worker import Component
from participant import metrics


class ServiceConfig(AppConfig):
    """A service that receives events and publishes its own."""

    linger = 0.0
    """Seconds that its consumer lets messages gather."""

    def own(self, module: str) -> Any:
        """Its module of that name."""
        return import_module(f"{self.name}.{module}")

    def urls(self) -> list[URLPattern]:
        """Doors that it has beside those of its `urls`, and that are tried before them."""
        from coordination import decision_doors, decisions

        return decision_doors.urls(service=self.name) if decisions.deciding(self.name) else []

    def reactions(self) -> Sequence[Any]:
        """What it does on events and requests: the projection of the sagas' pages for its name.
        Raises LookupError where a page wants an operation that it does not declare.
        """
        from messaging import reactions

        return reactions.of(service=self.name, module=self.own("operations"))

    def worker_components(self, broker: Broker) -> list[Component]:
        """What `manage.py worker` runs for this service."""
        from coordination import decision_components
        from messaging.components import components

        own = self.reactions()
        return [
            *components(service=self.name, broker=broker, reactions=own, linger=self.linger),
            *decision_components.components(service=self.name),
            Cleaner(service=self.name, chores=self.chores()),
        ]

    def chores(self) -> list[Chore]:
        """What its worker cleans: of each table what is over."""
        return [Deleting(service=self.name, what=what) for what in self.kept()]

    def kept(self) -> list[RetentionRule]:
        """How long what is kept, of tables that belong to no saga."""
        return retention.kept(service=self.name)


class OwnerConfig(ServiceConfig):
    """One that accepts sagas, by its `operations.OWNER`. `below`: as paths call them."""

    below: str

    def urls(self) -> list[URLPattern]:
        """With those at which it tells of its sagas, and operators act on them."""
        from coordination import owner_doors

        owner = self.own("operations").OWNER
        return [*owner_doors.urls(owner=owner, below=self.below), *super().urls()]

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Sagas that no coordinator has been told of: for /health."""
        from coordination import owner_doors

        return owner_doors.stalls(owner=self.own("operations").OWNER, limit=limit)

    def gauges(self) -> dict[metrics.Key, float]:
        """What no coordinator has been told of: for /metrics."""
        from coordination import owner_doors

        return owner_doors.gauges(owner=self.own("operations").OWNER)

    def worker_components(self, broker: Broker) -> list[Component]:
        """With the hand-over to each coordinator."""
        from coordination.sweeping import sweeps

        return [*super().worker_components(broker), *sweeps(owner=self.own("operations").OWNER)]

    def chores(self) -> list[Chore]:
        """With closing its sagas."""
        from coordination.closing import Closing

        return [*super().chores(), Closing(owner=self.own("operations").OWNER)]


OPEN_STATES = ("in_flight", "waiting", "parked")
"""What a coordinator's `queries.open_sagas` tells its sagas apart by."""


class CoordinatorConfig(ServiceConfig):
    """One that has sagas, of which some wait for a person. Its `queries` look at them."""

    def reactions(self) -> Sequence[Any]:
        """What it does on the sagas' messages, of which it has no step; here: it hears none."""
        return ()

    def stalls(self, *, limit: int) -> list[Complaint]:
        """What should move and does not; the first ones are named: for /health."""
        found: list[Complaint] = self.own("queries").stalls(limit=limit)
        return found

    def gauges(self) -> dict[metrics.Key, float]:
        """Its sagas that have not ended, and the age of the oldest: for /metrics."""
        found: dict[metrics.Key, float] = {}
        for saga, pattern, state in product(SAGAS, of_coordinator(self.name), OPEN_STATES):
            found[metrics.SAGAS.name, saga, pattern, state] = 0
            found[metrics.OLDEST.name, saga, pattern, state] = 0
        for row in self.own("queries").open_sagas():
            found[metrics.SAGAS.name, row.saga, row.pattern, row.state] = row.number
            found[metrics.OLDEST.name, row.saga, row.pattern, row.state] = row.oldest_seconds
        return found

    def parked_sagas(self, *, limit: int) -> tuple[int, list[SagaSummary]]:
        """How many wait for a person, and those that wait longest: for /health."""
        queries = self.own("queries")
        count, oldest = queries.parked(limit=limit)
        return count, queries.summaries(oldest)
