"""`manage.py admin_login`: creates the admin's superuser of a run, or sets its password."""

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from stack.services import ADMIN_USER


class Command(BaseCommand):
    help = f"Creates the superuser {ADMIN_USER!r} with the password in DUETO_ADMIN_PASSWORD."

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("DUETO_ADMIN_PASSWORD")
        if not password:
            raise CommandError("DUETO_ADMIN_PASSWORD, the password to set, is missing.")
        admin, _ = get_user_model().objects.get_or_create(username=ADMIN_USER)
        admin.is_staff = admin.is_superuser = admin.is_active = True
        admin.set_password(password)
        admin.save()
        self.stdout.write(f"{ADMIN_USER} may log in.")
