from django.apps import AppConfig

from contracts.states import Complaint
from messaging.brokers import Broker
from messaging.worker import Part


class CarritoConfig(AppConfig):
    name = "carrito"
    verbose_name = "Carrito: carts, checkouts and orders"

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Checkouts that no coordinator has been told of: for /health."""
        from carrito.operations import OWNER
        from coordination import owner_views

        return owner_views.stalls(owner=OWNER, limit=limit)

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from carrito.operations import OWNER
        from carrito.reactions import REACTIONS
        from coordination.handover import handovers
        from messaging.parts import parts

        own = parts(service="carrito", broker=broker, reactions=REACTIONS)
        return [*own, *handovers(owner=OWNER)]
