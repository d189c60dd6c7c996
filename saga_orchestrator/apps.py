from django.apps import AppConfig

from messaging.brokers import Broker
from messaging.worker import Part


class SagaOrchestratorConfig(AppConfig):
    name = "saga_orchestrator"
    verbose_name = "Saga orchestrator: pattern 1"

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service. It needs no broker."""
        from saga_orchestrator.runner import make

        return [make()]
