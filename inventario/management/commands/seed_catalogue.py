"""`manage.py seed_catalogue`: sample products."""

from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from inventario import catalogue
from inventario.catalogue import NewProduct
from inventario.models import Product

STOCK = 100
SCARCE = {"CAM-VINTAGE": 10, "product_1": 10, "product_2": 50, "product_3": 5}
"""Products of small stock, to run out of."""

CATALOGUE = [
    ("LAP-PRO-14", "Laptop Pro 14", "1299.99", "computers", "14 inch, 32 GB, 1 TB"),
    ("LAP-AIR-13", "Laptop Air 13", "899.00", "computers", "13 inch, 16 GB, 512 GB, no fan"),
    ("MON-27-4K", "Monitor 27 4K", "349.90", "computers", "27 inch, 3840 x 2160, USB-C"),
    ("KEY-MECH", "Mechanical keyboard", "119.50", "computers", "Brown switches, quiet"),
    ("MOU-ERGO", "Vertical mouse", "59.95", "computers", "For the right hand, wireless"),
    ("HUB-USBC", "USB-C hub", "39.99", "computers", "HDMI, Ethernet, three USB-A"),
    ("PHO-X", "Phone X", "799.00", "phones", "6.1 inch, 256 GB"),
    ("PHO-MINI", "Phone Mini", "499.00", "phones", "5.4 inch, 128 GB"),
    ("CHA-65W", "Charger 65 W", "34.90", "phones", "Two ports, folds"),
    ("CAS-X", "Case for Phone X", "19.99", "phones", "Cork and recycled plastic"),
    ("HEA-NC", "Headphones", "249.00", "audio", "Over the ear, cancel noise"),
    ("EAR-BUDS", "Earbuds", "129.00", "audio", "Eight hours, and a case"),
    ("SPK-HOME", "Speaker", "179.00", "audio", "For the kitchen, takes splashes"),
    ("CAM-VINTAGE", "Rangefinder, 1968", "649.00", "photography", "Restored; there are only ten"),
    ("CAM-MIRROR", "Mirrorless camera", "1149.00", "photography", "24 megapixels, body only"),
    ("LEN-35", "Lens 35 mm f/1.8", "399.00", "photography", "Light and sharp"),
    ("TRI-CARB", "Tripod", "189.00", "photography", "Carbon, 1.2 kg"),
    ("BAG-DAY", "Day pack", "89.90", "travel", "18 litres, a sleeve for a laptop"),
    ("BOT-STEEL", "Bottle", "24.50", "travel", "0.7 litres, keeps warm for a day"),
    ("ADA-WORLD", "World adapter", "29.99", "travel", "150 countries"),
    ("product_1", "Laptop", "999.99", "computers", ""),
    ("product_2", "Mouse", "29.99", "computers", ""),
    ("product_3", "Keyboard", "79.99", "computers", ""),
]


class Command(BaseCommand):
    help = "Adds the sample catalogue; products that exist already stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        known = set(Product.objects.values_list("sku", flat=True))
        missing = [_product(*row) for row in CATALOGUE if row[0] not in known]
        with transaction.atomic(using=catalogue.SERVICE):
            catalogue.add(products=missing)
        self.stdout.write(
            f"{len(missing)} products added, {len(CATALOGUE)} in the sample catalogue"
        )


def _product(sku: str, name: str, price: str, category: str, description: str) -> NewProduct:
    return NewProduct(
        sku=sku,
        name=name,
        price=Decimal(price),
        category=category,
        description=description,
        quantity=SCARCE.get(sku, STOCK),
    )
