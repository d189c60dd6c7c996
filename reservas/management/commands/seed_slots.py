"""`manage.py seed_slots`: sample slots."""

from typing import Any

from django.core.management.base import BaseCommand

from reservas.models import Slot

SLOTS = [("Sala Azul", "40.00"), ("Sala Verde", "25.00"), ("Patio", "15.00")]


class Command(BaseCommand):
    help = "Adds the sample slots; slots that exist already stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        known = set(Slot.objects.values_list("name", flat=True))
        missing = [(name, price) for name, price in SLOTS if name not in known]
        Slot.objects.bulk_create(Slot(name=name, price_per_hour=price) for name, price in missing)
        self.stdout.write(f"{len(missing)} slots added, {len(SLOTS)} in the sample")
