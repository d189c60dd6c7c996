"""Errors, answered as problem+json (RFC 9457): what is wrong, where, and how to correct it."""

import logging
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from django.core.exceptions import PermissionDenied
from django.db import DataError, Error
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework.exceptions import APIException

from contracts import bounds, refusals
from contracts.outcomes import Refused
from participant import sql, stale_connections

log = logging.getLogger(__name__)

Read = TypeVar("Read", bound=msgspec.Struct)
CONTENT_TYPE = "application/problem+json"
MOST_ECHOED = 200
"""Characters of the request's values in an error."""


class Problem(Exception):
    """An error that a view answers with. `errors`: the wrong fields, each with a message."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}


def wrong_field(field: str, message: str) -> Problem:
    """400, naming the field."""
    return Problem(
        status=400,
        code="invalid",
        detail=f"{field}: {message}",
        errors=[{"field": field, "message": message}],
    )


def unknown(what: str, value: str) -> Problem:
    """404."""
    return Problem(status=404, code="not_found", detail=f"There is no {what} {shortened(value)}.")


def shortened(text: str) -> str:
    """A value of a request, cut for the answer."""
    return text if len(text) <= MOST_ECHOED else f"{text[:MOST_ECHOED]}..."


def method_not_allowed(method: str, *, allowed: str) -> Problem:
    """405."""
    return Problem(
        status=405,
        code="method_not_allowed",
        detail=f"{method} is not allowed here; allowed: {allowed}.",
        headers={"Allow": allowed},
    )


def refusal(refused: Refused, *, status: int = 409) -> Problem:
    """409: a business "no", with its code."""
    return Problem(status=status, code=refused.code, detail=refused.detail)


def unavailable(what: str) -> Problem:
    """503: a dependency cannot be reached now."""
    return _later(code="unavailable", detail=f"{what} cannot be reached now; try again.")


def busy() -> Problem:
    """503: another request holds a needed row for longer than this one can wait."""
    return _later(code="busy", detail="Another request holds what this one needs; try again.")


def overloaded() -> Problem:
    """503: more come than can be done."""
    detail = "The service is overloaded: try again after the seconds in Retry-After."
    return _later(code="overloaded", detail=detail)


def _later(*, code: str, detail: str) -> Problem:
    return Problem(status=503, code=code, detail=detail, headers={"Retry-After": "1"})


def invalid(error: msgspec.ValidationError | msgspec.DecodeError) -> Problem:
    """400 for a body that does not fit its type."""
    if not isinstance(error, msgspec.ValidationError):
        return Problem(status=400, code="parse_error", detail=f"The body is not JSON: {error}.")
    field, message = bounds.field_and_message(error)
    return wrong_field(field or "body", message)


def read(value: Any, kind: type[Read]) -> Read:
    """The value (of JSON) as this struct. Raises Problem (400) that names every wrong field."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _of_fields(
            bounds.wrong_fields(value, kind) or [bounds.field_and_message(error)]
        ) from error


def read_key(request: HttpRequest) -> str | None:
    """The request's `Idempotency-Key`, or None. Raises Problem (400) for an invalid key."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= bounds.MOST_KEY:
        raise wrong_field("Idempotency-Key", f"1 to {bounds.MOST_KEY} characters")
    return key


def _of_fields(found: Sequence[tuple[str, str]]) -> Problem:
    errors = [{"field": field or "body", "message": message} for field, message in found]
    return Problem(
        status=400,
        code="invalid",
        detail="; ".join(f"{error['field']}: {error['message']}" for error in errors),
        errors=errors,
    )


def respond(problem: Problem) -> HttpResponse:
    """The problem as an answer."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = problem.errors
    return HttpResponse(
        msgspec.json.encode(body),
        status=problem.status,
        headers=problem.headers,
        content_type=CONTENT_TYPE,
    )


def handle(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's exception handler. None for a bug, which becomes a 500."""
    problem = _problem_of(error)
    return respond(problem) if problem else None


def _problem_of(error: Exception) -> Problem | None:
    if isinstance(error, Problem):
        return error
    if isinstance(error, msgspec.ValidationError | msgspec.DecodeError):
        return invalid(error)
    if isinstance(error, APIException):
        return Problem(
            status=error.status_code,
            code=str(getattr(error, "default_code", "error")),
            detail=str(error.detail),
        )
    if isinstance(error, Http404):
        return Problem(status=404, code="not_found", detail=str(error) or "Not found.")
    if isinstance(error, PermissionDenied):
        return Problem(status=403, code="permission_denied", detail=str(error) or "Not allowed.")
    if isinstance(error, sql.Damaged):
        log.error("damaged: %s", error)
        return Problem(status=409, code=refusals.UNREADABLE, detail=str(error))
    if isinstance(error, Error):
        return _of_database(error)
    return None


def _of_database(error: Error) -> Problem | None:
    """None for a bug. The database's text is only logged: it names tables and hosts."""
    stale_connections.mark(error=error)
    if isinstance(error, DataError):
        log.warning("a value that the database refuses: %s", error)
        detail = "A value is too big, or has a character that can't be stored."
        return Problem(status=400, code="invalid", detail=detail)
    if sql.is_busy(error):
        log.warning("database: %s", error)
        return busy()
    if sql.is_outage(error):
        log.error("database: %s", error)
        return unavailable("The database of this service")
    return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    detail = "This service can't read the request; its log has the reason."
    return respond(Problem(status=400, code="bad_request", detail=detail))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    hint = " Paths have no trailing slash." if request.path.endswith("/") else ""
    return respond(
        Problem(
            status=404,
            code="no_such_path",
            detail=f"No such path: {shortened(request.path)}.{hint}",
        )
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. A database that is down is no bug, also on an admin page."""
    error = sys.exc_info()[1]
    bug = Problem(status=500, code="internal_error", detail="A bug: this service's log has it.")
    return respond((_of_database(error) if isinstance(error, Error) else None) or bug)
