"""What happens around each request: it is counted, readable, and comes to connections that live."""

import threading
from collections.abc import Callable
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from httpapi import problems, stale_connections, waiting
from httpapi.gateway import UNUSABLE
from httpapi.json import UnusableBody, body_of
from httpapi.problems import Problem

LONGEST_PATH, LONGEST_QUERY, MOST_FIELDS = 2048, 32 * 1024, 100
"""A query may name some 1,000 ids, in one field."""

_lock = threading.Lock()
_served = 0


class RequestContext:
    """Counts the requests of this process; /health says how many. Refuses what no view could read
    as it was meant: all doors are alike in that."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        global _served
        with _lock:
            _served += 1
        stale_connections.close()
        response = self._answer(request)
        if waiting.places.is_closed.is_set():
            # Granian says so by itself, but a moment later than those who wait are answered.
            response["Connection"] = "close"
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            _check(request)
        except (Problem, UnusableBody) as error:
            return problems.handle(error, {}) or problems.server_error(request)
        return self.get_response(request)


def served() -> int:
    """How many requests this process has taken since its start."""
    return _served


def _check(request: HttpRequest) -> None:
    if request.path_info.startswith("/health"):
        if request.method not in ("GET", "HEAD"):
            raise problems.method_not_allowed(request.method or "", allowed="GET, HEAD")
        return  # by whatever host name a probe calls it
    _check_address(request)
    if settings.HAS_ADMIN and request.path_info.startswith("/admin"):
        return  # forms
    if UNUSABLE in request.META:
        raise request.META[UNUSABLE]
    body_of(request)


def _check_address(request: HttpRequest) -> None:
    try:
        request.get_host()
    except DisallowedHost as error:
        raise _bad_address(
            "This service has no such host name: see DUETO_ALLOWED_HOSTS."
        ) from error
    query = request.META.get("QUERY_STRING", "")
    if len(request.path_info) > LONGEST_PATH or len(query) > LONGEST_QUERY:
        limits = f"a path has at most {LONGEST_PATH} characters, a query {LONGEST_QUERY}"
        raise Problem(status=414, code="too_long", detail=f"The address is too long: {limits}.")
    if query.count("&") >= MOST_FIELDS:
        raise _bad_address(f"A query has at most {MOST_FIELDS} fields.")
    if "\0" in request.path_info:
        raise _bad_address("The path has the character U+0000.")
    _check_query(query)


def _check_query(query: str) -> None:
    try:
        fields = parse_qsl(query, keep_blank_values=True, errors="strict") if "%" in query else []
    except UnicodeDecodeError as error:
        raise _bad_address("The query is not UTF-8.") from error
    for name, value in fields:
        if "\0" in name + value:
            raise problems.wrong_field(name, "the character U+0000 can't be stored")


def _bad_address(detail: str) -> Problem:
    return Problem(status=400, code="bad_request", detail=detail)
