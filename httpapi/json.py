"""JSON in and out, through msgspec, which also reads a body straight into its type."""

from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any

import msgspec
from django.http import HttpResponse
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from contracts import bounds


class JsonParser(BaseParser):
    """The body as Python values. Raises ParseError (400) where it is no JSON."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        body = stream.read()
        bounds.require_no_nul(body)
        try:
            return _decoder.decode(body)
        except msgspec.DecodeError as error:
            raise ParseError(f"The body is not JSON: {error}.") from error


class RawJsonParser(BaseParser):
    """The body as bytes, for views that decode it into a type of their own."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> bytes:
        body = stream.read()
        bounds.require_no_nul(body)
        return body


class JsonRenderer(BaseRenderer):
    """Money as strings, times in ISO 8601."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return b"" if data is None else encode(data)


# A number with a fraction stays what was written: 0.1, not the float next to it.
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: Any) -> bytes:
    """The value as JSON; what msgspec does not know (lazy texts, say) as its str."""
    return msgspec.json.encode(value, enc_hook=_as_plain)


def answer(
    data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """A JSON answer without a renderer's detour."""
    return HttpResponse(
        encode(data), status=status, headers=headers, content_type="application/json"
    )


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return list(value)
    return str(value)
