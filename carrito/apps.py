from django.apps import AppConfig

from messaging.brokers import Broker
from messaging.worker import Part


class CarritoConfig(AppConfig):
    name = "carrito"
    verbose_name = "Carrito: carts, checkouts and orders"

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from carrito.handover import handovers
        from carrito.reactions import REACTIONS
        from messaging.participant import parts

        return [*parts(service="carrito", broker=broker, reactions=REACTIONS), *handovers()]
