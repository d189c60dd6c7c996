"""`manage.py seed_couriers`: sample couriers."""

from typing import Any

from django.core.management.base import BaseCommand

from envios.models import Courier

COURIERS = [
    # Without an area: for destinations that name none.
    ("Reparto General", "+53 5 100 0000", "", "", 10_000),
    ("Rosa", "+53 5 100 0001", "La Habana", "", 100),
    ("Tomas", "+53 5 100 0002", "La Habana", "Plaza", 20),
    ("Ines", "+53 5 100 0003", "Matanzas", "Varadero", 2),
]


class Command(BaseCommand):
    help = "Adds the sample couriers; couriers that exist already stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        fields = ("name", "phone_number", "province", "city", "capacity")
        known = set(Courier.objects.values_list("name", flat=True))
        missing = [dict(zip(fields, row, strict=True)) for row in COURIERS if row[0] not in known]
        Courier.objects.bulk_create(Courier(**row) for row in missing)
        self.stdout.write(f"{len(missing)} couriers added, {len(COURIERS)} in the sample")
