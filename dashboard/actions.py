"""Actions on a saga, by the API that every operator uses, with a token that the dashboard makes for
the person: the API records the person and the reason.
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
    "retry": "Repeats the call, with all its attempts.",
    "skip": "Goes on as if the call had succeeded: an operator has seen to it by hand.",
    "compensate": "Undoes the steps that were done, in reverse order; money is given back.",
}
"""What each does, as shown before it is confirmed."""
AWAY = "unavailable"
ASK_SECONDS = 3.0
"""A person waits for the page; it then says that a service did not answer."""


class ProblemBody(msgspec.Struct, frozen=True):
    """A refusal of the API, as problem+json."""

    detail: str = ""
    code: str = "refused"


@cache
def client(service: str) -> Client:
    return Client(service, timeout=ASK_SECONDS)


def state_of(pattern: str, saga_id: str, *, person: Any) -> SagaState | None:
    """A saga's state at its coordinator; None if there is none that this person may see. Raises
    Unreachable.
    """
    row = PATTERNS[pattern]
    path = row.state.format(saga_id=quote(saga_id, safe=""))
    given = client(row.coordinator).get(path=path, headers=tokens.headers_of(person))
    return given.decode(type=SagaState) if given.status == 200 else None


def offered(state: SagaState) -> list[str]:
    """The actions that make sense now; the coordinator may still refuse them."""
    if state.status is SagaStatus.PARKED:
        return ["retry", "skip", "compensate"]
    if state.status in FINAL:
        return ["compensate"] if state.status is SagaStatus.COMPLETED else []
    return [] if state.status is SagaStatus.COMPENSATING else ["compensate"]


def do(
    row: SagaRow, action: str, *, person: Any, reason: str, step: str = "", data: str = ""
) -> Refused | None:
    """Does one of ACTIONS; or answers `yes` or `no` to a step that waits for a person, with data
    (JSON) that the step needs. Returns the refusal, if any.
    """
    where, by = PATTERNS[row.pattern], person.get_username()
    if action in ACTIONS:
        path = f"{where.state.format(saga_id=quote(row.saga_id, safe=''))}/{action}"
        return _posted(where.coordinator, path, {"requested_by": by, "reason": reason}, person)
    saga = SAGAS.get(row.saga)
    services = {each.name: each.service for each in saga.steps if each.decided_by} if saga else {}
    if action not in ("yes", "no") or step not in services:
        return Refused("unknown", f"There is no {action!r} here.")
    try:
        given = msgspec.json.decode(data or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        return Refused("invalid", f"The data is not a JSON object: {error}")
    path = f"/decisions/{quote(row.saga_id, safe='')}/{quote(step, safe='')}"
    body = {"verdict": action, "by": by, "reason": reason, "data": given}
    return _posted(services[step], path, body, person)


def _posted(service: str, path: str, body: dict[str, Any], person: Any) -> Refused | None:
    try:
        given = client(service).post(path=path, body=body, headers=tokens.headers_of(person))
        return None if given.status < 300 else _refused(given)
    except Unreachable as error:
        return Refused(AWAY, f"{service} does not answer now: {error.told}")


def _refused(given: ServiceResponse) -> Refused:
    """Raises Unreachable if the body is no problem+json."""
    problem = given.decode(type=ProblemBody)
    return Refused(problem.code, problem.detail)
