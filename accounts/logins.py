"""Limits the guessing of passwords, at the admin's login and at POST /token: by user and address
together (django-axes counts), and by address alone, whatever the names are.
"""

from math import ceil
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from httpapi import rates
from httpapi.identity import DEMO
from httpapi.problems import Problem

TRIES_A_MINUTE, TRIES_AT_ONCE = 10, 30
"""Logins from one address, right or wrong: each costs a password hash, a tenth of a second."""


class OneAddress:
    """A backend that logs nobody in, but refuses an address with too many tries."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Raises PermissionDenied, by which Django asks no other backend."""
        if request is None or settings.AUTH == DEMO:
            return
        whose = f"login:{address_of(request)}"
        wait = rates.seconds_to_wait(whose, rate=TRIES_A_MINUTE / 60, burst=TRIES_AT_ONCE)
        if wait:
            found: Any = request
            found.axes_locked_out, found.shut_out_seconds = True, ceil(wait)
            raise PermissionDenied


def is_shut_out(request: HttpRequest) -> bool:
    """Whether this login was refused unchecked; the login that used up the last try was checked."""
    found: Any = request
    is_locked = getattr(found, "axes_locked_out", False)
    return bool(is_locked and not getattr(found, "axes_failures_since_start", None))


def locked_out(request: HttpRequest, response: HttpResponse, credentials: Any) -> HttpResponse:
    """The answer to a login that was refused unchecked; `response` for any other."""
    if request.path_info.startswith("/token") or not is_shut_out(request):
        return response
    seconds = seconds_out(request)
    context = {
        "minutes": ceil(seconds / 60),
        "is_of_address": hasattr(request, "shut_out_seconds"),
    }
    answered = render(request, "accounts/locked_out.html", context, status=429)
    answered["Retry-After"] = str(seconds)
    return answered


def too_many(request: HttpRequest) -> Problem:
    """The 429 for a login that was refused unchecked."""
    seconds = seconds_out(request)
    return Problem(
        status=429,
        code="too_many_logins",
        detail=f"Too many logins: again in {ceil(seconds / 60)} min.",
        headers={"Retry-After": str(seconds)},
    )


def seconds_out(request: HttpRequest) -> int:
    """How long the sender is locked out."""
    usual = int(settings.AXES_COOLOFF_TIME.total_seconds())
    return int(getattr(request, "shut_out_seconds", usual))


def address_of(request: HttpRequest) -> str:
    """The client's address; behind a trusted proxy the one that the proxy names."""
    own = str(request.META.get("REMOTE_ADDR", ""))
    if not settings.SECURE_PROXY_SSL_HEADER:
        return own
    return str(request.META.get("HTTP_X_FORWARDED_FOR", own)).rpartition(",")[2].strip() or own
