from django.apps import AppConfig

from contracts.states import Complaint
from messaging.brokers import Broker
from messaging.worker import Part


class CarritoConfig(AppConfig):
    name = "carrito"
    verbose_name = "Carrito: carts, checkouts and orders"

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Checkouts that no coordinator has been told of: for /health."""
        from carrito import queries

        return queries.stalls(limit=limit)

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from carrito.handover import handovers
        from carrito.reactions import REACTIONS
        from messaging.participant import parts

        return [*parts(service="carrito", broker=broker, reactions=REACTIONS), *handovers()]
