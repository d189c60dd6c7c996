from django.conf import settings

from coordination import service
from messaging.brokers import Broker
from messaging.worker import Component


class SagaOrchestratorConfig(service.CoordinatorConfig):
    name = "saga_orchestrator"
    verbose_name = "Saga orchestrator: pattern 1, and the control"

    def worker_components(self, broker: Broker) -> list[Component]:
        """With the runner, whose calls over HTTP need no broker."""
        from saga_orchestrator.participants import Participants
        from saga_orchestrator.worker import Runner

        runner = Runner(participants=Participants(urls=settings.SERVICE_URLS))
        return [runner, *super().worker_components(broker)]
