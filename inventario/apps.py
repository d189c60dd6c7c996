from coordination import service
from messaging.brokers import Broker
from messaging.worker import Part


class InventarioConfig(service.WatchedConfig):
    name = "inventario"
    verbose_name = "Inventario: products and reservations"

    def worker_parts(self, broker: Broker) -> list[Part]:
        """With what releases reservations whose time is over."""
        from inventario.expiry import Expiry

        return [*super().worker_parts(broker), Expiry()]
