"""What a person may ask of a saga, asked of the API that every operator uses, by a token of theirs
that the dashboard makes: who was logged in is on record there, with the reason.
"""

from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec

from accounts import tokens
from contracts.outcomes import Refused
from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from contracts.states import FINAL, SagaState, SagaStatus
from dashboard.store import SagaRow
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


class ProblemBody(msgspec.Struct, frozen=True):
    """A refusal of the API, as problem+json."""

    detail: str = ""
    code: str = "refused"


@cache
def client(service: str) -> Client:
    return Client(service, timeout=ASK_SECONDS)


def state_of(pattern: str, saga_id: str, *, person: Any) -> SagaState | None:
    """The whole of a saga, by its coordinator. None: it has none, or none for this person. Raises
    Unreachable.
    """
    row = PATTERNS[pattern]
    path = row.state.format(saga_id=quote(saga_id, safe=""))
    given = client(row.coordinator).get(path=path, headers=tokens.headers_of(person))
    return given.decode(type=SagaState) if given.status == 200 else None


def offered(state: SagaState) -> list[str]:
    """What makes sense to ask of it now; whether it is granted, its coordinator decides."""
    if state.status is SagaStatus.PARKED:
        return ["retry", "skip", "compensate"]
    if state.status in FINAL:
        return ["compensate"] if state.status is SagaStatus.COMPLETED else []
    return [] if state.status is SagaStatus.COMPENSATING else ["compensate"]


def do(
    row: SagaRow, action: str, *, person: Any, reason: str, step: str = "", data: str = ""
) -> Refused | None:
    """One of ACTIONS; or `yes` or `no` to a step that waits for a person, with data (as JSON) that
    it needs. Why not, or None."""
    where, by = PATTERNS[row.pattern], person.get_username()
    if action in ACTIONS:
        path = f"{where.state.format(saga_id=quote(row.saga_id, safe=''))}/{action}"
        return _posted(where.coordinator, path, {"requested_by": by, "reason": reason}, person)
    page = SAGAS.get(row.saga)
    services = {one.name: one.service for one in page.steps if one.decided_by} if page else {}
    if action not in ("yes", "no") or step not in services:
        return Refused("unknown", f"There is no {action!r} here.")
    try:
        given = msgspec.json.decode(data or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        return Refused("invalid", f"The data are no JSON object: {error}")
    path = f"/decisions/{quote(row.saga_id, safe='')}/{quote(step, safe='')}"
    body = {"verdict": action, "by": by, "reason": reason, "data": given}
    return _posted(services[step], path, body, person)


def _posted(service: str, path: str, body: dict[str, Any], person: Any) -> Refused | None:
    try:
        given = client(service).post(path=path, body=body, headers=tokens.headers_of(person))
        return None if given.status < 300 else _refused(given)
    except Unreachable as error:
        return Refused(AWAY, f"{service} can't be asked now: {error.told}")


def _refused(given: ServiceResponse) -> Refused:
    """Raises Unreachable where it is no problem as services state them."""
    problem = given.decode(type=ProblemBody)
    return Refused(problem.code, problem.detail)
