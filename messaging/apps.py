from typing import Any

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models.signals import post_migrate

from contracts.saga import SAGAS

OPEN_TRANSACTIONS = """
    CREATE OR REPLACE FUNCTION dueto_open_transactions(seconds float8)
    RETURNS TABLE (pid int, program text, since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
        SELECT pid, coalesce(nullif(application_name, ''), usename::text), state_change
        FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'
          AND state_change < clock_timestamp() - make_interval(secs => seconds)
    $$
"""
"""Which sessions of anybody keep a transaction open. Of those of others a service's login is told
this much and no more: their statements may have data in them that are not its own."""


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        """Raises ImproperlyConfigured where there is nothing to react to."""
        if not SAGAS:
            raise ImproperlyConfigured(
                "no saga is registered: have the settings import the module that calls"
                " contracts.saga.register"
            )
        post_migrate.connect(_make_function, sender=self)


def _make_function(*, using: str, **_: Any) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(OPEN_TRANSACTIONS)
