"""What users send."""

from typing import Annotated

import msgspec
from rest_framework import serializers

from contracts.statuses import Pattern, SagaStatus

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=150)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Intervention(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for it, and why."""

    requested_by: Name = "api"
    reason: str = ""


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for it, and why: to be read by whoever wonders later."""

    reason: Reason
    requested_by: Name = "api"


class TransactionFilter(serializers.Serializer[None]):
    """Which sagas to list: `?status=&saga_pattern=&page=&page_size=`, or `&after=`,
    `&before=` a cursor.
    """

    status = serializers.ChoiceField(choices=[one.value for one in SagaStatus], required=False)
    saga_pattern = serializers.ChoiceField(choices=[one.value for one in Pattern], required=False)
    page = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    page_size = serializers.IntegerField(min_value=1, max_value=1000, default=50)
    after = serializers.CharField(default="")
    before = serializers.CharField(default="")
