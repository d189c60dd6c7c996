"""People, their groups, and their refresh tokens."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from accounts.models import RefreshToken
from participant.admin import RecordAdmin

Person = get_user_model()
admin.site.unregister(Person)
_MAKES_MIGHTY = ["is_superuser", "user_permissions"]


@admin.register(Person)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]  # no type arguments at runtime
    """Only superusers make, change and remove superusers."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own = super().get_readonly_fields(request, obj)
        return own if request.user.is_superuser else [*own, *_MAKES_MIGHTY]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Hides superusers from others: bulk actions check no single row's permission."""
        found = super().get_queryset(request)
        return found if request.user.is_superuser else found.filter(is_superuser=False)


def _may_touch(request: HttpRequest, person: Any) -> bool:
    return bool(request.user.is_superuser or person is None or not person.is_superuser)


@admin.register(RefreshToken)
class RefreshTokenAdmin(RecordAdmin):
    """Logins to the API. Deleting all tokens of a login ends it within 15 minutes."""

    list_display = ["login", "who", "issued_at", "expires_at", "used_at"]
    ordering = ["-issued_at"]
    exclude = ["digest"]

    @admin.display(description="person")
    def who(self, token: RefreshToken) -> str:
        found = Person.objects.filter(pk=token.person).first()
        return found.get_username() if found else "deleted"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("accounts.delete_refreshtoken")
