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
"""Statuses: no answer at all, or the answer of a server that can't work now."""


class Unreachable(Described):
    """No usable answer: no connection, a timeout, or a 5xx. The effect is in doubt.

    `status`: of the answer, if there is one. `answer`: the answer itself.
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
        """Whether the whole service fails, and not only this request."""
        return self.status in SIGNS_OF_OUTAGE

    @property
    def told(self) -> str:
        """The text for people who look at a saga, without addresses and technical details."""
        if self.status is None:
            is_late = isinstance(self.__cause__, urllib3.exceptions.TimeoutError)
            return "timed out" if is_late else "no connection"
        return self.answer.summary if self.answer else str(self)


class _Problem(msgspec.Struct, frozen=True):
    code: str
    detail: str


class ServiceResponse(msgspec.Struct, frozen=True):
    """A service's answer. The names of `headers` are case-insensitive."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    @property
    def summary(self) -> str:
        """For people: the status, and the detail of a problem; any other body is only logged."""
        try:
            problem = msgspec.json.decode(self.body, type=_Problem)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            log.warning("an answer of %d that is no problem: %r", self.status, self.body[:200])
            return f"{self.status} without a reason"
        return f"{self.status} {problem.code}: {problem.detail}"

    def json(self) -> Any:
        """The body's value. Raises Unreachable if it is no JSON."""
        return self.decode(type=Any)

    def decode(self, *, type: Any) -> Any:  # noqa: A002 -- as msgspec calls it
        """The body as this type. Raises Unreachable if it does not fit: that is the fault of the
        service that answered, and not of our own client."""
        try:
            return msgspec.json.decode(self.body, type=type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning("an answer of %d that can't be read: %s", self.status, error)
            raise Unreachable("an answer that can't be read", status=self.status) from error


class Client:
    """Calls a service, with this process's token if it has a key, unless the headers of a call have
    one. `url`: by default that of the settings. Never retries: only the caller knows whether a
    request may be repeated.
    """

    def __init__(
        self, service: str = "", *, url: str = "", timeout: float, connections: int = 8
    ) -> None:
        self._service = service
        self.url = (url or settings.SERVICE_URLS[service]).rstrip("/")
        self._path = urlsplit(self.url).path
        # A pool for one host, without a pool manager: 0.06 ms of CPU less per call.
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
        """Raises Unreachable. `timeout`: seconds, for this call only."""
        failpoints.reach("client.before_call")
        given = self._call("POST", path, encode(body), headers, timeout)
        failpoints.reach("client.answered")
        return given

    def get(self, *, path: str, headers: Mapping[str, str] | None = None) -> ServiceResponse:
        """Raises Unreachable."""
        return self._call("GET", path, None, headers)

    def close(self) -> None:
        """Closes the kept connections; no calls are possible after it."""
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
    """Waits for the injected one-way latency, if any (messaging.brokers.latency)."""
    if seconds := getattr(settings, "HOP_SECONDS", 0):
        time.sleep(seconds)


def _timeout(seconds: float) -> urllib3.Timeout:
    return urllib3.Timeout(connect=min(seconds, 2.0), read=seconds)
