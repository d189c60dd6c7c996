"""The admin's pages, as a person opens them."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.contrib import admin
from django.db import connections
from django.urls import reverse

from catalogue.services import WITH_WORKER
from participant import roles


def url_of(model, page: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def look_at_all(client, service: str, *, at_least: Collection[str]) -> None:
    """Opens every list of the service, searches it, and opens every row; `at_least` are there."""
    models = [model for model in admin.site._registry if model._meta.app_label == service]
    alike = {"BarrierEntry", "OutboxEntry", "FailedMessage", "WorkerHeartbeat"}
    if service not in WITH_WORKER:
        alike = set()
    assert {model.__name__ for model in models} >= {*at_least, *alike}
    for model in models:
        url = url_of(model, "changelist")
        assert client.get(url).status_code == 200
        if admin.site._registry[model].search_fields:
            assert client.get(url, {"q": "s"}).status_code == 200
        for row in model.objects.all():
            assert client.get(url_of(model, "change", row.pk)).status_code == 200


def act(client, model, action: str, *keys: str, reason: str = "") -> str:
    """The response page of an action on these rows. `reason`: for an action that asks for
    confirmation.
    """
    chosen = {"action": action, "_selected_action": list(keys)}
    chosen |= {"reason": reason} if reason else {}
    with as_dashboard(model._meta.app_label):
        response = client.post(url_of(model, "changelist"), chosen, follow=True)
    assert response.status_code == 200
    return response.content.decode()


@contextmanager
def as_dashboard(service: str) -> Iterator[None]:
    """In the database of this service with no more rights than the dashboard's login has there."""
    name = f"admin_of_{service}_{os.getpid()}"
    statements = [
        statement
        for model in roles._models(service)
        if not getattr(model, "is_private", False)
        for statement in roles.granting(model, roles.of_admin(model), to=name)
    ]
    with connections[service].cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if not cursor.fetchall():
            cursor.execute(f"CREATE ROLE {name}")
        for statement in statements:
            cursor.execute(statement.text, None)
            for (generated,) in cursor.fetchall() if statement.generates else ():
                cursor.execute(generated)
        cursor.execute(f"SET ROLE {name}")
    try:
        yield
    finally:
        with connections[service].cursor() as cursor:
            cursor.execute("RESET ROLE")
