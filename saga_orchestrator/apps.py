from collections.abc import Sequence
from typing import Any

from django.conf import settings

from coordination import service
from messaging import retention
from messaging.brokers import Broker
from messaging.worker import Component


class SagaOrchestratorConfig(service.CoordinatorConfig):
    name = "saga_orchestrator"
    verbose_name = "Saga orchestrator: pattern 1, and the control"

    def reactions(self) -> Sequence[Any]:
        """Each reply moves its saga on."""
        from saga_orchestrator.messages import REACTIONS

        return REACTIONS

    def worker_components(self, broker: Broker) -> list[Component]:
        """With the runner, whose calls over HTTP need no broker."""
        from coordination.participants import Participants
        from saga_orchestrator.worker import RunnerComponent

        runner = RunnerComponent(participants=Participants(urls=settings.SERVICE_URLS))
        return [runner, *super().worker_components(broker)]

    def kept(self) -> list[retention.RetentionRule]:
        """With the leases of runners that died."""
        runners = retention.RetentionRule(
            "saga_orchestrator_runner", "seen_at", "started_at", retention.DEAD_WORKER_SECONDS
        )
        return [*super().kept(), runners]
