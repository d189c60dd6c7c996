"""Products and reservations as the API shows them, and as users send them."""

from typing import Any

from rest_framework import serializers

from contracts.money import amount
from inventario.models import Product, Reservation

LARGEST_QUANTITY = 1_000_000_000


class NewProduct(serializers.Serializer[None]):
    """A product to be added; `quantity`: how many there are."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(allow_blank=True, default="")
    price = serializers.DecimalField(max_digits=12, decimal_places=2, min_value=0)
    quantity = serializers.IntegerField(min_value=0, max_value=LARGEST_QUANTITY)
    category = serializers.CharField(max_length=100, allow_blank=True, default="")
    sku = serializers.CharField(max_length=64)


class ProductChange(serializers.Serializer[None]):
    """What can be changed of a product. Its stock can't: that is what restock is for."""

    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(allow_blank=True, required=False)
    price = serializers.DecimalField(max_digits=12, decimal_places=2, min_value=0, required=False)
    category = serializers.CharField(max_length=100, allow_blank=True, required=False)
    sku = serializers.CharField(max_length=64, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        fixed = sorted(set(self.initial_data) - set(self.fields))
        if fixed:
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                dict.fromkeys(fixed, f"can't be changed here; what can: {known}. Stock: restock.")
            )
        return attrs


class Restock(serializers.Serializer[None]):
    """How many came in, or (negative) were lost."""

    quantity = serializers.IntegerField(min_value=-LARGEST_QUANTITY, max_value=LARGEST_QUANTITY)


class ProductFilter(serializers.Serializer[None]):
    """Which products to list: `?category=&search=&ids=1,2,3&page=&page_size=`."""

    category = serializers.CharField(required=False)
    search = serializers.CharField(required=False)
    ids = serializers.CharField(required=False)
    page = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    page_size = serializers.IntegerField(min_value=1, max_value=1000, default=50)


def product(one: Product) -> dict[str, Any]:
    """A product; `quantity` and `available` both say how many can be bought now."""
    return {
        "id": str(one.pk),
        "name": one.name,
        "description": one.description,
        "price": str(amount(one.price)),
        "category": one.category,
        "sku": one.sku,
        "quantity": one.available,
        "available": one.available,
        "reserved": one.reserved,
        "sold": one.sold,
        "created_at": one.created_at,
    }


def availability(one: Product) -> dict[str, Any]:
    """Where all that ever came in of a product is now."""
    return {
        "product_id": str(one.pk),
        "is_available": one.available > 0,
        "available": one.available,
        "reserved": one.reserved,
        "sold": one.sold,
        "initial": one.initial,
    }


def reservation(one: Reservation) -> dict[str, Any]:
    """A reservation with its lines."""
    return {
        "reservation_id": str(one.pk),
        "saga_id": one.saga_id,
        "cart_id": one.cart_id,
        "status": one.status,
        "items": [
            {"product_id": str(line.product_id), "quantity": line.quantity}
            for line in one.lines.all()
        ],
        "created_at": one.created_at,
        "changed_at": one.changed_at,
        "expires_at": one.expires_at,
    }
