from django.apps import AppConfig

from contracts.states import Complaint, SagaSummary
from messaging.brokers import Broker
from messaging.worker import Part


class SagaChoreographyConfig(AppConfig):
    name = "saga_choreography"
    verbose_name = "Saga choreography: pattern 2"

    def parked_sagas(self, *, limit: int) -> tuple[int, list[SagaSummary]]:
        """How many wait for a person, and those that wait longest: for /health."""
        from saga_choreography import queries

        count, oldest = queries.parked(limit=limit)
        return count, queries.summaries(oldest)

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Sagas that should move and don't; the first ones are named: for /health."""
        from saga_choreography import queries

        return queries.stalls(limit=limit)

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from messaging.parts import parts
        from saga_choreography.reactions import REACTIONS
        from saga_choreography.tracking import LINGER_SECONDS
        from saga_choreography.watchdog import Watchdog

        return [
            *parts(service=self.name, broker=broker, reactions=REACTIONS, linger=LINGER_SECONDS),
            Watchdog(broker=broker),
        ]
