"""The admin of the barrier, and of records in general: to be looked at, never typed over.

A service registers its own table with it: `admin.site.register(BarrierEntry, BarrierEntryAdmin)`.
"""

from typing import Any

import msgspec
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

LONGEST_SHOWN = 65_536


class RecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no type arguments at runtime
    """Rows that only the code writes. Actions that ask for `operate` need the change permission."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether this person may run the actions here."""
        return super().has_change_permission(request)


class BarrierEntryAdmin(RecordAdmin):
    """What this service has answered for each step of each saga."""

    list_display = ["saga_id", "step", "direction", "status", "code", "entered_at", "decided_at"]
    list_filter = ["step", "direction", "status"]
    search_fields = ["saga_id__startswith", "code__exact"]
    search_help_text = "The beginning of a saga's id, or a refusal's code"
    ordering = ["-id"]


def as_json(value: Any) -> SafeString:
    """The value (or its JSON, as bytes) as a block that a person can read.

    Bytes may be anything: what is no JSON, too deep or too long is shown as it begins.
    """
    encoded = bytes(value) if isinstance(value, bytes | memoryview) else msgspec.json.encode(value)
    try:
        if len(encoded) > LONGEST_SHOWN:
            raise msgspec.DecodeError
        text = msgspec.json.format(encoded, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = f"{encoded[:LONGEST_SHOWN]!r}, {len(encoded)} bytes"
    return format_html("<pre>{}</pre>", text)
