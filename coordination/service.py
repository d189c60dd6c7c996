"""Django's `AppConfig` of a participant, of an owner, and of a coordinator: what each app offers to
its processes and to /health.

Modules are imported when they are used, because an app is configured before its models. An
`apps.py` imports this module, not its classes: Django would take each class for the app's own.
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
    """Seconds for which its consumer collects messages into a batch."""

    def own(self, module: str) -> Any:
        """The app's module of that name."""
        return import_module(f"{self.name}.{module}")

    def urls(self) -> list[URLPattern]:
        """The doors beside those of its `urls`; these are tried first."""
        from coordination import decision_doors, decisions

        return decision_doors.urls(service=self.name) if decisions.deciding(self.name) else []

    def reactions(self) -> Sequence[Any]:
        """Its reactions to events and requests: the projection of the sagas' definitions. Raises
        LookupError if a definition needs an operation that the service does not declare.
        """
        from messaging import reactions

        return reactions.of(service=self.name, module=self.own("operations"))

    def worker_components(self, broker: Broker) -> list[Component]:
        """The components that `manage.py worker` runs for this service."""
        from coordination import decision_components
        from messaging.components import components

        own = self.reactions()
        return [
            *components(service=self.name, broker=broker, reactions=own, linger=self.linger),
            *decision_components.components(service=self.name),
            Cleaner(service=self.name, chores=self.chores()),
        ]

    def chores(self) -> list[Chore]:
        """The chores of its worker: deleting old rows of each table."""
        return [Deleting(service=self.name, what=what) for what in self.kept()]

    def kept(self) -> list[RetentionRule]:
        """How long rows are kept, in tables that belong to no saga."""
        return retention.kept(service=self.name)


class OwnerConfig(ServiceConfig):
    """A service that accepts sagas, by its `operations.OWNER`. `below`: their name in paths."""

    below: str

    def urls(self) -> list[URLPattern]:
        """Adds the owner's doors for coordinators and operators."""
        from coordination import owner_doors

        owner = self.own("operations").OWNER
        return [*owner_doors.urls(owner=owner, below=self.below), *super().urls()]

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Sagas that are not handed over: for /health."""
        from coordination import owner_doors

        return owner_doors.stalls(owner=self.own("operations").OWNER, limit=limit)

    def gauges(self) -> dict[metrics.Key, float]:
        """Sagas that are not handed over: for /metrics."""
        from coordination import owner_doors

        return owner_doors.gauges(owner=self.own("operations").OWNER)

    def worker_components(self, broker: Broker) -> list[Component]:
        """Adds the hand-over to each coordinator."""
        from coordination.sweeping import sweeps

        return [*super().worker_components(broker), *sweeps(owner=self.own("operations").OWNER)]

    def chores(self) -> list[Chore]:
        """Adds the closing of its sagas."""
        from coordination.closing import Closing

        return [*super().chores(), Closing(owner=self.own("operations").OWNER)]


OPEN_STATES = ("in_flight", "waiting", "parked")
"""The states in a coordinator's `queries.open_sagas`."""


class CoordinatorConfig(ServiceConfig):
    """A coordinator; its module `queries` reads its sagas."""

    def reactions(self) -> Sequence[Any]:
        """Its reactions to messages; by default none, because a coordinator has no steps."""
        return ()

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Sagas that should move and do not, the first `limit` by id: for /health."""
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
        """The number of parked sagas, and those parked longest: for /health."""
        queries = self.own("queries")
        count, oldest = queries.parked(limit=limit)
        return count, queries.summaries(oldest)
