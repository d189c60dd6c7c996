"""The groups of people, and their rights: scopes in the API, permissions in the admin.

viewer    sees every saga, order, payment and message
operator  also acts on them: retries, skips, undoes, discards, pauses, decides
merchant  keeps the catalogue, and takes payments of its own: in the API only
admin     has an operator's rights, and those over the catalogue, payments and people

Every person may shop. The code defines the groups' rights: they are written again with each
migration. A superuser may do everything, and is made by hand or by another superuser.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps as all_apps
from django.conf import settings
from django.db.models import Q

from contracts.doors import (
    CATALOGUE_WRITE,
    OPS_ACT,
    OPS_READ,
    PAYMENTS_READ,
    PAYMENTS_WRITE,
    PUBLIC,
    SHOP,
    Scope,
)

VIEWER, OPERATOR, MERCHANT, ADMIN = "viewer", "operator", "merchant", "admin"
SCOPES: Mapping[str, frozenset[Scope]] = {
    VIEWER: frozenset({OPS_READ}),
    OPERATOR: frozenset({OPS_READ, OPS_ACT}),
    MERCHANT: frozenset({CATALOGUE_WRITE, PAYMENTS_READ, PAYMENTS_WRITE}),
    ADMIN: frozenset({OPS_READ, OPS_ACT, CATALOGUE_WRITE, PAYMENTS_READ, PAYMENTS_WRITE}),
}
_OF_PEOPLE = ("auth", "accounts", "axes")
"""Apps with the tables of people and of their logins."""


def scopes_of(person: Any) -> frozenset[Scope]:
    """A person's scopes in the API."""
    if person.is_superuser:
        return frozenset(Scope) - {PUBLIC}
    named = person.groups.values_list("name", flat=True)
    return frozenset({SHOP}).union(*(SCOPES.get(name, frozenset()) for name in named))


def merchant_of(person: Any) -> str:
    """The merchant whose payments a person sees: the person's own name, if it is a merchant."""
    return str(person.get_username()) if person.groups.filter(name=MERCHANT).exists() else ""


def bring_up_to_date(*, app_config: Any, using: str, apps: Any = all_apps, **_: Any) -> None:
    """Makes the groups and sets their permissions, once the last app's permissions exist."""
    *_before, last = (known for known in all_apps.get_app_configs() if known.models_module)
    if using != "default" or app_config.label != last.label:
        return
    try:
        group_model, permission_model = (apps.get_model("auth", n) for n in ("Group", "Permission"))
    except LookupError:  # a process without people, or whose tables come later
        return
    for name, granted in _permissions().items():
        group, _made = group_model.objects.get_or_create(name=name)
        group.permissions.set(permission_model.objects.filter(granted))


def _permissions() -> Mapping[str, Q]:
    view = Q(content_type__app_label__in=settings.SERVICES, codename__startswith="view_")
    act = view | _any(_changing(model) for model in _models(is_record=True))
    keep = _any(_changing(model, "add", "delete") for model in _models(is_record=False))
    return {
        VIEWER: view,
        OPERATOR: act,
        MERCHANT: _any([]),
        ADMIN: act | keep | Q(content_type__app_label__in=_OF_PEOPLE),
    }


def _models(*, is_record: bool) -> Iterator[Any]:
    """Models of the shop's services: records, which only the code writes, if the admin has actions
    for them; or the models that people edit.
    """
    from django.contrib import admin

    from participant.admin import RecordAdmin

    for model, shown in admin.site._registry.items():
        if model._meta.app_label not in settings.SERVICES:
            continue
        is_shown_as_record = isinstance(shown, RecordAdmin)
        if is_shown_as_record is is_record and (not is_record or shown.actions):
            yield model


def _changing(model: Any, *more: str) -> Q:
    names = [f"{verb}_{model._meta.model_name}" for verb in ("change", *more)]
    return Q(content_type__app_label=model._meta.app_label, codename__in=names)


def _any(of: Iterable[Q]) -> Q:
    found = Q(pk__in=[])
    for condition in of:
        found |= condition
    return found
