"""Calling another service: JSON over kept-alive connections."""

import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3
from django.conf import settings

from contracts.outcomes import Described
from httpapi import keys
from httpapi.json import encode
from participant import failpoints

log = logging.getLogger(__name__)


SIGNS_OF_OUTAGE = (None, 408, 429, 502, 503, 504)
"""Of an answer: none at all, or that of a server that says that it can't."""


class Unreachable(Described):
    """No answer that can be used: no connection, a timeout, or a 5xx. The effect is in doubt.

    `status`: of the answer that did come; None without one. `answer`: that answer itself.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        answer: "ServiceResponse | None" = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.answer = answer

    @property
    def is_outage(self) -> bool:
        """Whether the service as a whole is to blame, and not what it was asked."""
        return self.status in SIGNS_OF_OUTAGE

    @property
    def told(self) -> str:
        """For who looks at a saga: without addresses, and without what is not meant for people."""
        if self.status is None:
            is_late = isinstance(self.__cause__, urllib3.exceptions.TimeoutError)
            return "timed out" if is_late else "no connection"
        return self.answer.summary if self.answer else str(self)


class _Problem(msgspec.Struct, frozen=True):
    code: str
    detail: str


class ServiceResponse(msgspec.Struct, frozen=True):
    """What came back: a status below 500, the body, and the headers (in any case)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    @property
    def summary(self) -> str:
        """For people: the status, and what a problem says; any other body is in the log alone."""
        try:
            problem = msgspec.json.decode(self.body, type=_Problem)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            log.warning("an answer of %d that is no problem: %r", self.status, self.body[:200])
            return f"{self.status}, and does not say why"
        return f"{self.status} {problem.code}: {problem.detail}"

    def json(self) -> Any:
        """The body's value. Raises Unreachable if it is no JSON."""
        return self.decode(type=Any)

    def decode(self, *, type: Any) -> Any:  # noqa: A002 -- as msgspec calls it
        """The body as this type. Raises Unreachable if it is none: that is the fault of the service
        that answered, and not of the client that waits for us."""
        try:
            return msgspec.json.decode(self.body, type=type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning("an answer of %d that can't be read: %s", self.status, error)
            raise Unreachable("an answer that can't be read", status=self.status) from error


class Client:
    """Calls a service, with a token of this process's where it has a key, unless the headers of a
    call have one. `url`: where that is, if not where the settings say. Never retries by itself: the
    caller knows what a repetition means.
    """

    def __init__(
        self, service: str = "", *, url: str = "", timeout: float, connections: int = 8
    ) -> None:
        self._service = service
        self.url = (url or settings.SERVICE_URLS[service]).rstrip("/")
        self._path = urlsplit(self.url).path
        # The pool of the one host, without a manager before it: 0.06 ms of CPU less a call.
        self._pool = urllib3.connection_from_url(
            self.url,
            maxsize=connections,
            block=False,
            timeout=_timeout(timeout),
        )
        self.calls = 0

    def post(
        self,
        *,
        path: str,
        body: Any,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ServiceResponse:
        """Raises Unreachable. `timeout`: seconds, for this call alone."""
        failpoints.reach("client.before_call")
        given = self._call("POST", path, encode(body), headers, timeout)
        failpoints.reach("client.answered")
        return given

    def get(self, *, path: str, headers: Mapping[str, str] | None = None) -> ServiceResponse:
        """Raises Unreachable."""
        return self._call("GET", path, None, headers)

    def close(self) -> None:
        """Closes the connections that are kept; it calls nobody after that."""
        self._pool.close()

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: float | None = None,
    ) -> ServiceResponse:
        self.calls += 1
        own = _timeout(timeout) if timeout else urllib3.util.Timeout.DEFAULT_TIMEOUT
        merged = {
            "Content-Type": "application/json",
            **keys.credentials(self._service),
            **(headers or {}),
        }
        _inject_latency()
        try:
            response = self._pool.urlopen(
                method, self._path + path, body=body, headers=merged, retries=False, timeout=own
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{method} {self.url}{path}: {error}") from error
        _inject_latency()
        given = ServiceResponse(response.status, response.data, response.headers)
        if given.status >= 500:
            message = f"{method} {self.url}{path}: {given.summary}"
            raise Unreachable(message, status=given.status, answer=given)
        return given


def _inject_latency() -> None:
    """One way, where services are put further apart (messaging.brokers.latency)."""
    if seconds := getattr(settings, "HOP_SECONDS", 0):
        time.sleep(seconds)


def _timeout(seconds: float) -> urllib3.Timeout:
    return urllib3.Timeout(connect=min(seconds, 2.0), read=seconds)
