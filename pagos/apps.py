from typing import Any

from coordination import service
from messaging.brokers import Broker
from messaging.worker import Component


class PagosConfig(service.ServiceConfig):
    name = "pagos"
    verbose_name = "Pagos: payments and refunds"

    def ready(self, *_: Any) -> None:
        """A web process that writes an intent calls the card network at once; in a worker the desk
        does.
        """
        from pagos import desk, operations
        from participant import decisions

        decisions.asked_of(
            service=self.name, decided_by=operations.NETWORK, system=desk.AT_ONCE.ask
        )

    def worker_components(self, broker: Broker) -> list[Component]:
        """With the desk, which calls the card network."""
        from pagos.desk import Desk

        return [*super().worker_components(broker), Desk()]
