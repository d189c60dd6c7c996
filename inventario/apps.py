from django.apps import AppConfig

from contracts.states import Complaint
from messaging.brokers import Broker
from messaging.worker import Part


class InventarioConfig(AppConfig):
    name = "inventario"
    verbose_name = "Inventario: products and reservations"

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Reservations whose time is over and that nobody releases: for /health."""
        from inventario import queries

        return queries.stalls(limit=limit)

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from inventario.expiry import Expiry
        from inventario.reactions import REACTIONS
        from messaging.parts import parts

        return [*parts(service="inventario", broker=broker, reactions=REACTIONS), Expiry()]
