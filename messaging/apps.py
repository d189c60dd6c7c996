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
"""Sessions of any login that keep a transaction open. A service's login sees no more of other
logins' sessions: their statements may contain data that it may not read."""


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        """Raises ImproperlyConfigured if no saga is registered."""
        if not SAGAS:
            raise ImproperlyConfigured(
                "no saga is registered: the settings must import the module that calls"
                " contracts.saga.register"
            )
        post_migrate.connect(_make_function, sender=self)


def _make_function(*, using: str, **_: Any) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(OPEN_TRANSACTIONS)
