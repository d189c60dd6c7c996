"""The path of each request, from the server's thread to the view and back.

Gateway, the WSGI entry, reads the body and then takes a slot for the request, so that a slow client
holds a thread but no slot. RequestContext, Django's middleware, counts the request, refuses
unreadable and unauthorized requests, and closes stale database connections.
"""

import re
import threading
from collections.abc import Callable, Iterable, MutableMapping
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from contracts import declared_doors
from contracts.bounds import MOST_BYTES
from contracts.patterns import PATTERNS
from httpapi import authentication, identity, json, problems, slots, waiting
from httpapi.problems import Problem
from participant import metrics, stale_connections, tracing, trail

Environ = MutableMapping[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Any]

UNUSABLE = "dueto.unusable_body"
"""In the WSGI variables: the problem of an unreadable body, with which the middleware answers."""
_MOST_DISCARDED = 64 * 1024 * 1024
"""Of a body that is too long so much is still read, because many clients read the answer only after
they have sent the body."""
_PIECE = 1024 * 1024
_ALWAYS = {"X-Content-Type-Options": "nosniff"}
_OF_DATA = {
    **_ALWAYS,
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""The headers of every answer, and of answers that are neither pages nor cacheable files."""
LOOKS = ("/health", "/metrics")
"""Prefixes of the monitoring paths, which answer under any host name and under any load."""
LONGEST_PATH, LONGEST_QUERY, MOST_FIELDS = 2048, 32 * 1024, 100
"""A query may have some 1,000 ids, in one field."""

_TRACE = re.compile(r"[0-9a-f]{32}")

_lock = threading.Lock()
_served = 0


class Gateway:
    """Wraps the application. `is_shut`: whether this path refuses a request with this body now."""

    def __init__(
        self,
        application: Application,
        is_shut: Callable[[str, bytes], bool] = lambda path, body: False,
    ) -> None:
        self._application = application
        self._is_shut = is_shut

    def __call__(self, variables: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response = partial(_start, start_response)
        path = variables["PATH_INFO"]
        if path == "/health/live":  # answers even if everything else hangs
            return self._answer(variables, start_response)
        body = _take_in(variables)
        if variables.get("REQUEST_METHOD") == "POST" and self._is_shut(path, body):
            return _turned_away(start_response, "admission")
        try:
            with _slots_of(path).taken():
                return self._answer(variables, start_response)
        except slots.NoSlot:
            return _turned_away(start_response, "slots")

    def _answer(self, variables: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self._application(variables, start_response)
        if response.streaming:  # a file of the admin's: the server iterates, and closes it
            return response  # type: ignore[no-any-return]
        # A list is sent as a whole, with its length; and closed while this thread still has the
        # slot's connections, because Django checks them then.
        body = [b"".join(response)]
        response.close()
        return body


def _start(
    start_response: Callable[..., Any], status: str, headers: list[tuple[str, str]], *error: Any
) -> Any:
    """Adds the headers that every answer has; all answers pass here."""
    known = dict(headers)
    is_page = known.get("Content-Type", "").startswith("text/html")
    more = _ALWAYS if is_page or "Cache-Control" in known else _OF_DATA
    kept = [header for header in headers if header[0] not in more]
    return start_response(status, [*kept, *more.items()], *error)


_IN_FLIGHT = ("/steps/", *(f"{pattern.hand_over}/decided" for pattern in PATTERNS.values()))
"""Prefixes of the paths that sagas in flight need."""
_HAND_OVERS = frozenset(pattern.hand_over for pattern in PATTERNS.values())


def _slots_of(path: str) -> slots.Slots:
    if path.startswith(LOOKS):
        return slots.looking
    if path.startswith(_IN_FLIGHT) or path in _HAND_OVERS:
        return slots.stepping
    return slots.working


def _turned_away(start_response: Callable[..., Any], reason: str) -> Iterable[bytes]:
    metrics.count(metrics.REFUSED, reason)
    response = problems.respond(problems.overloaded())
    start_response(f"{response.status_code} {response.reason_phrase}", [*response.items()])
    return [response.content]


def _take_in(variables: Environ) -> bytes:
    """The body; also put into the WSGI variables with its length, however it was sent."""
    try:
        body = _read(variables)
    except Problem as error:
        variables[UNUSABLE], body = error, b""
    variables.pop("HTTP_TRANSFER_ENCODING", None)
    variables["CONTENT_LENGTH"] = str(len(body))
    variables["wsgi.input"] = BytesIO(body)
    return body


def _read(variables: Environ) -> bytes:
    announced = variables.get("CONTENT_LENGTH")
    is_chunked = "HTTP_TRANSFER_ENCODING" in variables
    if announced is None and not is_chunked:
        return b""
    source = variables["wsgi.input"]
    body: bytes = source.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        _discard(source)
        raise json.too_long(limit=MOST_BYTES)
    # Granian ends a body that breaks off as if it were complete.
    if not is_chunked and announced is not None and len(body) != int(announced):
        raise json.incomplete(f"{len(body)} of {announced} bytes came")
    if is_chunked and not body:
        raise json.incomplete("its chunks are broken, or there are none")
    return body


def _discard(source: Any) -> None:
    for _ in range(_MOST_DISCARDED // _PIECE):
        if not source.read(_PIECE):
            return


class RequestContext:
    """Counts the requests of this process, for /health. Refuses unauthorized and unreadable
    requests, in the same way for all doors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        global _served
        with _lock:
            _served += 1
        stale_connections.close()
        response = self._answer(request)
        trail.end()
        if tracing.is_on():
            tracing.end_request(status=response.status_code)
        metrics.count(metrics.REQUESTS, f"{response.status_code // 100}xx")
        if waiting.places.is_closed.is_set():
            # Granian adds it too, but only after the waiting requests are answered.
            response["Connection"] = "close"
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            _check_address(request)
        except Problem as error:
            return problems.respond(error)
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], *path: Any
    ) -> HttpResponse | None:
        """Before any view: checks the method, the caller and the body."""
        try:
            _admit(request, view)
        except Problem as error:
            return problems.respond(error)
        return None


def served() -> int:
    """The number of requests since the start of this process."""
    return _served


FORMS = ("/admin", "/dashboard/")
"""Prefixes of the pages for people, who send forms."""


def _admit(request: HttpRequest, view: Callable[..., Any]) -> None:
    if getattr(settings, "HAS_ADMIN", False) and request.path_info.startswith(FORMS):
        return  # the session authenticates the person
    match = request.resolver_match
    found = declared_doors.of_view(view, match.route if match else "")
    if found is None:
        return
    method = "GET" if request.method == "HEAD" else request.method or ""
    if method not in found:
        allowed = ", ".join([*found, "HEAD"] if "GET" in found else found)
        raise problems.method_not_allowed(request.method or "", allowed=allowed)
    if method not in ("GET", "HEAD") and authentication.is_of_a_foreign_page(request):
        detail = "Web pages of another origin may not send this request."
        raise Problem(status=403, code="foreign_origin", detail=detail)
    declared = found[method]
    if declared is None:
        raise Problem(status=403, code="forbidden", detail="This door declares no callers.")
    shown = authentication.presented(request, declared)
    is_looked_at = request.path_info.startswith(LOOKS)
    if UNUSABLE in request.META and not is_looked_at:
        raise request.META[UNUSABLE]
    json.require_fits(request, most=declared.most_bytes)
    authentication.admit(request, declared, shown)
    if method != "GET" and declared.scopes:
        _note_who_acts(request)
    if not is_looked_at:
        json.body_of(request)


def _note_who_acts(request: HttpRequest) -> None:
    principal = identity.of(request)
    trail.begin(
        trail.Actor(
            by="" if principal.is_demo else principal.sub,
            via=principal.via,
            jti=principal.jti,
            trace_id=trace_of(request),
        )
    )


def trace_of(request: HttpRequest) -> str:
    """The trace id in a request's headers (W3C Trace Context), or empty."""
    parts = request.META.get("HTTP_TRACEPARENT", "").split("-")
    return parts[1] if len(parts) == 4 and _TRACE.fullmatch(parts[1]) else ""


def _check_address(request: HttpRequest) -> None:
    if request.path_info.startswith(LOOKS):
        return  # probes may use any host name
    try:
        host = request.get_host()
    except DisallowedHost as error:
        raise _bad_address(
            "This service has no such host name: see DUETO_ALLOWED_HOSTS."
        ) from error
    _tell_only_known_ports(request, host)
    query = request.META.get("QUERY_STRING", "")
    if len(request.path_info) > LONGEST_PATH or len(query) > LONGEST_QUERY:
        limits = f"a path has at most {LONGEST_PATH} characters, a query {LONGEST_QUERY}"
        raise Problem(status=414, code="too_long", detail=f"The address is too long: {limits}.")
    if query.count("&") >= MOST_FIELDS:
        raise _bad_address(f"A query has at most {MOST_FIELDS} fields.")
    if "\0" in request.path_info:
        raise _bad_address("The path has the character U+0000.")
    _check_query(query)


def _tell_only_known_ports(request: HttpRequest, host: str) -> None:
    """Replaces an unknown port in the URLs of answers: Django would take it from the request."""
    name, colon, port = host.rpartition(":")
    own = request.META.get("SERVER_PORT", "")
    if not colon or port.endswith("]") or port == own or port in settings.PUBLISHED_PORTS:
        return
    # The prefix for build_absolute_uri; the checks of origins still use the request's own host.
    request._current_scheme_host = f"{request.scheme}://{name}:{own}"  # type: ignore[misc]


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
