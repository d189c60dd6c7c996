"""The WSGI entry of a web process: reads a request's body, then gives it a slot to be worked on in.

The body is read first: a client that sends slowly holds a thread, and no slot.
"""

from collections.abc import Callable, Iterable, MutableMapping
from io import BytesIO
from typing import Any

from contracts.bounds import MOST_BYTES
from httpapi import problems, slots
from httpapi.json import UnusableBody

Environ = MutableMapping[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Any]

UNUSABLE = "dueto.unusable_body"
"""In the WSGI variables: why the body could not be read. The middleware answers with it."""
_MOST_DISCARDED = 64 * 1024 * 1024
"""What is read of a body that is too long: many a client hears the answer only then."""
_PIECE = 1024 * 1024


class Gateway:
    """Wraps the application."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, variables: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = variables["PATH_INFO"]
        if path == "/health/live":  # whatever else hangs: the process answers
            return self._answer(variables, start_response)
        _take_in(variables)
        try:
            with (slots.looking if path.startswith("/health") else slots.working).taken():
                return self._answer(variables, start_response)
        except slots.NoSlot:
            return _too_busy(start_response)

    def _answer(self, variables: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self._application(variables, start_response)
        if response.streaming:  # a file of the admin's: the server iterates, and closes it
            return response  # type: ignore[no-any-return]
        # As a list it is sent whole, with its length; and closed while the slot's connections are
        # still here, as Django looks at them then.
        body = [b"".join(response)]
        response.close()
        return body


def _too_busy(start_response: Callable[..., Any]) -> Iterable[bytes]:
    response = problems.respond(problems.busy())
    start_response(f"{response.status_code} {response.reason_phrase}", [*response.items()])
    return [response.content]


def _take_in(variables: Environ) -> None:
    """The body as Django wants it: with its length, however it was sent."""
    try:
        body = _read(variables)
    except UnusableBody as error:
        variables[UNUSABLE], body = error, b""
    variables.pop("HTTP_TRANSFER_ENCODING", None)
    variables["CONTENT_LENGTH"] = str(len(body))
    variables["wsgi.input"] = BytesIO(body)


def _read(variables: Environ) -> bytes:
    announced = variables.get("CONTENT_LENGTH")
    is_chunked = "HTTP_TRANSFER_ENCODING" in variables
    if announced is None and not is_chunked and not variables["SERVER_PROTOCOL"].endswith("/2"):
        return b""
    source = variables["wsgi.input"]
    body: bytes = source.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        _discard(source)
        raise UnusableBody.too_long(limit=MOST_BYTES)
    # Granian ends a body that breaks off as if that had been all of it.
    if not is_chunked and announced is not None and len(body) != int(announced):
        raise UnusableBody.incomplete(f"{len(body)} of {announced} bytes came")
    if is_chunked and not body:
        raise UnusableBody.incomplete("its chunks are broken, or there are none")
    return body


def _discard(source: Any) -> None:
    for _ in range(_MOST_DISCARDED // _PIECE):
        if not source.read(_PIECE):
            return
