from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

from contracts.saga import SAGAS


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        """Raises ImproperlyConfigured where there is nothing to react to."""
        if not SAGAS:
            raise ImproperlyConfigured(
                "no saga is registered: have the settings import the module that calls"
                " contracts.saga.register"
            )
