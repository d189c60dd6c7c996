from django.apps import AppConfig

from messaging.brokers import Broker
from messaging.worker import Part


class EnviosConfig(AppConfig):
    name = "envios"
    verbose_name = "Envios: couriers and deliveries"

    def worker_parts(self, broker: Broker) -> list[Part]:
        """What `manage.py worker` runs for this service."""
        from envios.reactions import REACTIONS
        from messaging.parts import parts

        return parts(service="envios", broker=broker, reactions=REACTIONS)
