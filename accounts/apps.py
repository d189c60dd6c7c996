from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts: people and tokens"

    def ready(self) -> None:
        """Brings the groups' permissions up to date after each migration."""
        from accounts import groups

        post_migrate.connect(groups.bring_up_to_date)
