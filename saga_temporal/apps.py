from coordination import service
from messaging.brokers import Broker
from messaging.worker import Component


class SagaTemporalConfig(service.CoordinatorConfig):
    name = "saga_temporal"
    verbose_name = "Saga on Temporal: the same rows, on an engine that exists already"

    def worker_components(self, broker: Broker) -> list[Component]:
        """With Temporal's worker, which needs no broker."""
        from saga_temporal.worker import TemporalComponent

        return [TemporalComponent(), *super().worker_components(broker)]
