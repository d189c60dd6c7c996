from typing import Any

from coordination import service
from messaging.brokers import Broker
from messaging.worker import Component


class PagosConfig(service.ServiceConfig):
    name = "pagos"
    verbose_name = "Pagos: payments and refunds"

    def ready(self, *_: Any) -> None:
        """Who writes an intent asks the card network at once; a worker's desk does it instead."""
        from pagos import desk, operations
        from participant import decisions

        decisions.asked_of(
            service=self.name, decided_by=operations.NETWORK, system=desk.AT_ONCE.ask
        )

    def worker_components(self, broker: Broker) -> list[Component]:
        """With the desk that asks the card network."""
        from pagos.desk import Desk

        return [*super().worker_components(broker), Desk()]
