from contracts.states import Complaint
from coordination import service
from messaging.brokers import Broker
from messaging.worker import Component


class InventarioConfig(service.ServiceConfig):
    name = "inventario"
    verbose_name = "Inventario: products and reservations"

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Reservations that are overdue; at most `limit` of them are named: for /health."""
        from inventario import expiry

        return expiry.stalls(limit=limit)

    def worker_components(self, broker: Broker) -> list[Component]:
        """With the component that releases expired reservations."""
        from inventario.expiry import Expiry

        return [*super().worker_components(broker), Expiry()]
