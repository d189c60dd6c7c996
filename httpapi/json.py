"""JSON in and out, through msgspec, which also decodes a body directly into its type."""

import builtins
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import IO, Any, Never, TypeVar, overload

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from contracts import bounds
from contracts.bounds import MOST_BYTES, MOST_BYTES_OF_ONE, MOST_DEPTH
from httpapi.problems import Problem, wrong_field

T = TypeVar("T")
_WITH_BODY = ("POST", "PUT", "PATCH")
_UTF_8 = ("utf-8", "utf8", "us-ascii")
_ODD_CHARACTER = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, and half a surrogate pair."""


def too_long(*, limit: int) -> Problem:
    """413: a body of more bytes than the limit."""
    detail = f"The body is longer than {limit:,} bytes, the limit."
    return _unusable(detail, status=413, code="too_long")


def require_fits(request: HttpRequest, *, most: int) -> None:
    """Raises Problem (413) for a body that is too long for its door. `most`: bytes of a list."""
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise too_long(limit=MOST_BYTES) from error
    if len(body) <= MOST_BYTES_OF_ONE:
        return
    limit = most if _is_list(body) else MOST_BYTES_OF_ONE
    if len(body) > limit:
        raise too_long(limit=limit)


def incomplete(why: str) -> Problem:
    """400: a body that broke off."""
    return _unusable(f"The body is not complete: {why}.", code="incomplete_body")


def body_of(request: HttpRequest) -> bytes:
    """The body: empty, or unambiguous JSON in UTF-8.

    Raises Problem, also for the body of a GET, which no view reads.
    """
    body = request.body
    if body:
        _check_what_it_is(request)
        _check_text(body, is_strict=not _is_list(body))
    return body


def _is_list(body: bytes) -> bool:
    return body.lstrip()[:1] == b"["


@overload
def decode(body: bytes) -> Any: ...
@overload
def decode(body: bytes, *, type: builtins.type[T]) -> T: ...
def decode(body: bytes, *, type: Any = Any) -> Any:  # noqa: A002 -- as msgspec calls it
    """The body's value, of this type. Raises Problem, msgspec.ValidationError (for a value that
    does not fit) and msgspec.DecodeError (if it is not JSON)."""
    with _refusing():
        return msgspec.json.decode(body, type=type)


def values(body: bytes) -> Any:
    """The body as Python values, an empty body as {}. A number with a fraction is the Decimal that
    was sent: 0.1 is no float, and too many decimals must be found.
    """
    with _refusing():
        return _exact.decode(body) if body else {}


class JsonParser(BaseParser):
    """`values`, for the REST framework's views."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        return values(stream.read())


class JsonRenderer(BaseRenderer):
    """Money as strings, times in ISO 8601."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return b"" if data is None else encode(data)


_exact = msgspec.json.Decoder(float_hook=Decimal)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise _too_deep() from error
    except UnicodeDecodeError as error:
        raise _unusable(f"The body is not UTF-8: {error.reason}.") from error


def encode(value: Any) -> bytes:
    """The value as JSON; types that msgspec does not know (lazy texts, say) as their str."""
    return msgspec.json.encode(value, enc_hook=_as_plain)


def fingerprint(body: Any) -> str:
    """A hash of a body, which does not depend on the order of its fields."""
    encoded = msgspec.json.encode(body, enc_hook=_as_plain, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def answer(
    data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """A JSON answer, without a renderer."""
    return HttpResponse(
        encode(data), status=status, headers=headers, content_type="application/json"
    )


def _unusable(detail: str, *, status: int = 400, code: str = "parse_error") -> Problem:
    """The problem of a body that can't be read."""
    return Problem(status=status, code=code, detail=detail)


def _too_deep() -> Problem:
    detail = f"The body has lists or objects nested deeper than {MOST_DEPTH}, the limit."
    return _unusable(detail, code="too_deep")


def _unsupported(detail: str) -> Problem:
    return _unusable(detail, status=415, code="unsupported_media_type")


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return list(value)
    return str(value)


def _check_what_it_is(request: HttpRequest) -> None:
    if request.method not in _WITH_BODY:
        raise _unusable(f"{request.method} takes no body.", code="unexpected_body")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise _unsupported(f"Send the body as it is, not as {encoding}.")
    if request.content_type != "application/json":
        named = request.content_type or "nothing named"
        raise _unsupported(f"Send application/json, not {named}.")
    charset = (request.content_params or {}).get("charset", "utf-8").strip("\"' ").lower()
    if charset not in _UTF_8:
        raise _unsupported(f"Send JSON in UTF-8, not in {charset}.")


def _check_text(body: bytes, *, is_strict: bool) -> None:
    """Checks what msgspec accepts silently or refuses without a clear error. Lists, which services
    send each other, are not decoded a second time (12 us per command): only duplicate fields would
    be missed."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _unusable(f"The body is not UTF-8: {error.reason}, byte {error.start}.") from error
    if bounds.is_deeper(body, than=bounds.MOST_DEPTH):
        raise _too_deep()
    is_odd = _ODD_CHARACTER.search(body) is not None
    try:
        if is_strict or is_odd:
            _STRICT.decode(text)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # no JSON, the same field twice, NaN, a number of 5,000 digits
        raise _unusable(f"The body is not JSON: {error}.") from error
    if is_odd:
        _check_characters(json.loads(text), "")


def _check_characters(value: Any, path: str) -> None:
    """Raises Problem for a text that can't be stored, with the name of its field."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_characters(name, path or "body")
            _check_characters(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_characters(inner, f"{path}[{place}]")
    elif isinstance(value, str) and (wrong := _UNSTORABLE.search(value)):
        raise wrong_field(
            path or "body", f"the character U+{ord(wrong.group()):04X} can't be stored"
        )


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the field {name[:64]!r} is there twice")
        seen.add(name)


def _no_number(name: str) -> Never:
    raise ValueError(f"{name} is no number")


_STRICT = json.JSONDecoder(object_pairs_hook=_once_each, parse_constant=_no_number)
