"""What a person may ask of a saga, asked of the API that every operator uses: who was logged in is
on record there, with the reason.
"""

from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings

from contracts.outcomes import Refused
from contracts.patterns import PATTERNS
from contracts.states import FINAL, SagaState, SagaStatus
from httpapi.client import Client, ServiceResponse, Unreachable

ACTIONS = {
    "retry": "The same call again, with all its tries.",
    "skip": "Goes on as if it had answered: somebody has seen to it otherwise, by hand.",
    "compensate": "Undoes what has been done, in reverse order, and gives back what was taken.",
}
"""What each does, in a sentence that is read before it is asked for."""
AWAY = "unavailable"
ASK_SECONDS = 3.0
"""A person waits for the page; what can't be asked by then is told as such."""


class Problem(msgspec.Struct, frozen=True):
    """A refusal of the API, as problem+json."""

    detail: str = ""
    code: str = "refused"


@cache
def client(service: str) -> Client:
    return Client(url=settings.SERVICE_URLS[service], timeout=ASK_SECONDS)


def state_of(pattern: str, saga_id: str) -> SagaState | None:
    """The whole of a saga, by its coordinator. None: it has none. Raises Unreachable."""
    row = PATTERNS[pattern]
    path = row.state.format(saga_id=quote(saga_id, safe=""))
    given = client(row.coordinator).get(path=path)
    return given.decode(type=SagaState) if given.status == 200 else None


def offered(state: SagaState) -> list[str]:
    """What makes sense to ask of it now; whether it is granted, its coordinator decides."""
    if state.status is SagaStatus.PARKED:
        return ["retry", "skip", "compensate"]
    if state.status in FINAL:
        return ["compensate"] if state.status is SagaStatus.COMPLETED else []
    return [] if state.status is SagaStatus.COMPENSATING else ["compensate"]


def ask(
    *, pattern: str, saga_id: str, action: str, requested_by: str, reason: str
) -> Refused | None:
    """Retry, skip or compensate. Why not, or None."""
    row = PATTERNS[pattern]
    path = f"{row.state.format(saga_id=quote(saga_id, safe=''))}/{action}"
    return _posted(row.coordinator, path, {"requested_by": requested_by, "reason": reason})


def decide(
    *,
    service: str,
    saga_id: str,
    step: str,
    verdict: str,
    by: str,
    reason: str,
    data: dict[str, Any],
) -> Refused | None:
    """A verdict on a step that waits for a person. Why not, or None."""
    path = f"/decisions/{quote(saga_id, safe='')}/{quote(step, safe='')}"
    body = {"verdict": verdict, "by": by, "reason": reason, "data": data}
    return _posted(service, path, body)


def _posted(service: str, path: str, body: dict[str, Any]) -> Refused | None:
    try:
        given = client(service).post(path=path, body=body)
        return None if given.status < 300 else _refused(given)
    except Unreachable as error:
        return Refused(AWAY, f"{service} can't be asked now: {error}")


def _refused(given: ServiceResponse) -> Refused:
    """Raises Unreachable where it is no problem as services state them."""
    problem = given.decode(type=Problem)
    return Refused(problem.code, problem.detail)
