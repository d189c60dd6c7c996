from django.apps import AppConfig

from contracts.states import Complaint
from messaging.brokers import Broker
from messaging.worker import Part


class PedidosConfig(AppConfig):
    name = "pedidos"
    verbose_name = "Pedidos: orders"

    def stalls(self, *, limit: int) -> list[Complaint]:
        """Orders that no coordinator has been told of: for /health."""
        from coordination import owner_views
        from pedidos.operations import OWNER

        return owner_views.stalls(owner=OWNER, limit=limit)

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from coordination.handover import handovers
        from messaging.parts import parts
        from pedidos.operations import OWNER
        from pedidos.reactions import REACTIONS

        own = parts(service="pedidos", broker=broker, reactions=REACTIONS)
        return [*own, *handovers(owner=OWNER)]
