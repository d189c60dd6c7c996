from django.apps import AppConfig

from contracts.states import Complaint, SagaSummary
from messaging.brokers import Broker
from messaging.worker import Part


class SagaOrchestratorConfig(AppConfig):
    name = "saga_orchestrator"
    verbose_name = "Saga orchestrator: pattern 1, and the control"

    def parked_sagas(self, *, limit: int) -> tuple[int, list[SagaSummary]]:
        """How many wait for a person, and those that wait longest: for /health."""
        from saga_orchestrator import queries

        count, oldest = queries.parked(limit=limit)
        return count, [queries.summary(found=one) for one in oldest]

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Sagas that should move and don't; the first ones are named: for /health."""
        from saga_orchestrator import queries

        return queries.stalls(limit=limit)

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service. Calls over HTTP need no broker."""
        from messaging.parts import parts
        from saga_orchestrator.reactions import REACTIONS
        from saga_orchestrator.worker import make

        return [make(), *parts(service=self.name, broker=broker, reactions=REACTIONS)]
