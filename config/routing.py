"""Each service's tables live in its own database; everything else is the dashboard's."""

from typing import Any

from config.databases import SERVICES


class ServiceRouter:
    """Sends an app's models to the alias of the same name, and allows no relation across two."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _alias(model._meta.app_label)

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return _alias(model._meta.app_label)

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return _alias(one._meta.app_label) == _alias(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == _alias(app_label)


def _alias(app_label: str) -> str:
    return app_label if app_label in SERVICES else "default"
