from django.apps import AppConfig

from messaging.brokers import Broker
from messaging.worker import Part


class PagosConfig(AppConfig):
    name = "pagos"
    verbose_name = "Pagos: payments and refunds"

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from messaging.parts import parts
        from pagos.reactions import REACTIONS

        return parts(service="pagos", broker=broker, reactions=REACTIONS)
