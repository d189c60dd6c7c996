from contracts.states import Complaint
from coordination import service
from messaging.brokers import Broker
from messaging.worker import Component


class InventarioConfig(service.ServiceConfig):
    name = "inventario"
    verbose_name = "Inventario: products and reservations"

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Reservations that nothing releases; the first ones are named: for /health."""
        from inventario import expiry

        return expiry.stalls(limit=limit)

    def worker_components(self, broker: Broker) -> list[Component]:
        """With what releases reservations whose time is over."""
        from inventario.expiry import Expiry

        return [*super().worker_components(broker), Expiry()]
