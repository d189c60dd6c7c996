from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts: who may log in"

    def ready(self) -> None:
        """Whenever tables are made, the groups may what there is."""
        from accounts import groups

        post_migrate.connect(groups.bring_up_to_date)
