"""The rights to see the dashboard and to act in it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url

from catalogue.services import COORDINATORS
from contracts.doors import page
from participant import sql, stale_connections

View = Callable[..., Any]


def may_watch(user: Any) -> bool:
    """As in the admin: staff with the permission to view the sagas of all coordinators."""
    rights = [f"{service}.view_saga" for service in COORDINATORS]
    return bool(user.is_active and user.is_staff and user.has_perms(rights))


def may_operate(user: Any) -> bool:
    """As in the admin: the permission to run the actions on sagas."""
    return may_watch(user) and user.has_perms(f"{name}.change_saga" for name in COORDINATORS)


def watching(view: View) -> View:
    """A view for people who may watch; others must log in, or are refused."""
    return _guarded(view, may_watch)


def operating(view: View) -> View:
    """A view for people who may operate."""
    return _guarded(view, may_operate)


def _guarded(view: View, may: Callable[[Any], bool]) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), resolve_url("admin:login"))
        if not may(request.user):
            raise PermissionDenied
        try:
            response: HttpResponse = view(request, *args, **kwargs)
        except (DatabaseError, InterfaceError) as error:
            if not (sql.is_outage(error) or sql.is_busy(error)):
                raise
            stale_connections.mark(error=error)
            response = render(request, "dashboard/away.html", {"error": error}, status=503)
        response.headers["Cache-Control"] = "no-store"
        return response

    return page(guarded)
