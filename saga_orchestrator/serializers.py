"""What users send."""

from typing import Annotated, Any

import msgspec
from rest_framework import serializers

from contracts.statuses import SagaStatus

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=150)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class CheckoutRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A user's checkout: carrito accepts it first."""

    cart_id: Text
    payment_method: Text
    user_id: Text | int | None = None
    billing_address: dict[str, Any] = {}


class Intervention(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for it, and why."""

    requested_by: Name = "api"
    reason: str = ""


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for it, and why: to be read by whoever wonders later."""

    reason: Reason
    requested_by: Name = "api"


class TransactionFilter(serializers.Serializer[None]):
    """Which sagas to list: `?status=&page=&page_size=`."""

    status = serializers.ChoiceField(choices=[one.value for one in SagaStatus], required=False)
    page = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    page_size = serializers.IntegerField(min_value=1, max_value=1000, default=50)
