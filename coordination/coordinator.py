"""A coordinator as its doors use it, and its doors for services.

POST <its patterns' hand-over>          from an owner: the sagas that it has accepted
POST <its patterns' hand-over>/decided  from a participant: the steps that have been decided
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict
from urllib.parse import quote

import msgspec
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from contracts import patterns, projection, refusals
from contracts.bounds import MOST_BYTES, MOST_IN_A_BATCH
from contracts.doors import declared, door_by
from contracts.outcomes import Done, Outcome, Refused
from contracts.saga import SAGAS, Context
from contracts.states import SagaState, SagaSummary
from coordination import owners
from httpapi import identity, problems
from httpapi.json import answer, decode
from httpapi.steps import PlainView, made
from participant import failpoints

Ask = Callable[..., Refused | None]
"""Takes `saga_id`, `requested_by`, `reason`; returns the refusal, or None. Raises UnknownSaga.
`compensate` also takes `may_return`: whether a saga past its pivot may be returned (True).
"""


@dataclass(frozen=True, kw_only=True)
class Coordinator:
    """A coordinator as its doors use it. `below`: the path of its sagas; `listed`: of their list.

    `state`, `summary`: of a saga by its id; None if it is unknown here, or not the `user_id`'s
    (None: any user). `sagas`: with a status, pattern and name, newest first; `summaries`: of those
    rows. `start`: starts sagas durably, or stores that they run; known sagas stay unchanged.
    `decided`: continues the sagas that rest at these steps (saga id and step).
    """

    service: str
    below: str
    listed: str
    state: Callable[..., SagaState | None]
    summary: Callable[..., SagaSummary | None]
    sagas: Callable[..., QuerySet[Any]]
    summaries: Callable[[Sequence[Any]], list[SagaSummary]]
    start: Callable[..., None]
    compensate: Ask
    retry: Ask
    skip: Ask
    decided: Callable[..., None] | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        return patterns.of_coordinator(self.service)

    def state_or_at_owner(self, saga_id: str, *, user_id: str | None = None) -> SagaState:
        """Raises Problem if the saga is unknown or not this user's, or its owner can't be asked."""
        known = partial(self.state, saga_id, user_id=user_id)
        return known() or owners.state_at_owner(
            saga_id=saga_id, patterns=self.patterns, user_id=user_id, look_again=known
        )

    def summary_or_at_owner(self, saga_id: str, *, user_id: str | None = None) -> SagaSummary:
        """The saga's summary; raises Problem likewise."""
        found = self.summary(saga_id, user_id=user_id)
        return found or owners.summary_of(state=self.state_or_at_owner(saga_id, user_id=user_id))

    def url_of(self, request: Request, saga_id: str) -> str:
        where = f"/{self.below}/{quote(saga_id, safe='')}"
        return str(request.build_absolute_uri(where))


class HandOverView(PlainView):
    """POST a list of contexts: 207 with an outcome each; a refused saga never starts here."""

    coordinator: Coordinator

    @door_by(
        lambda view, path: declared(
            callers=projection.owners(),
            takes=list[Context],
            gives={207: list[Outcome]},
            most_bytes=MOST_BYTES,
        )
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        contexts = _contexts(request.body)
        if len(contexts) > MOST_IN_A_BATCH:
            raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} sagas in one list")
        by = identity.of(request)
        decided = [
            context if isinstance(context, Refused) else self._decide(context, by)
            for context in contexts
        ]
        started = [
            msgspec.structs.replace(context, data=projection.select(context.saga, context.data))
            for context, outcome in zip(contexts, decided, strict=True)
            if isinstance(context, Context) and isinstance(outcome, Done)
        ]
        reply = answer(decided, status=207)  # first: if it can't be encoded, no saga starts
        if started:
            self.coordinator.start(contexts=started)
        failpoints.reach("coordinator.before_reply")
        return reply

    def _decide(self, context: Context, by: identity.Principal) -> Outcome:
        own = self.coordinator.patterns
        if context.pattern not in own:
            detail = f"Pattern {context.pattern!r} does not start here; {', '.join(own)} do."
            return Refused(refusals.WRONG_PATTERN, detail)
        if not owners.is_served(context.saga):
            detail = f"Unknown saga {context.saga!r}; known are {', '.join(SAGAS)}."
            return Refused(refusals.MALFORMED_SAGA, detail)
        owner = SAGAS[context.saga].owner
        if not (by.is_demo or by.service == owner):
            detail = f"Only {owner} may hand over a saga {context.saga!r}."
            return Refused(refusals.NOT_ITS_TO_SAY, detail)
        try:
            projection.select(context.saga, context.data)
        except msgspec.ValidationError as error:
            return Refused(refusals.MALFORMED_SAGA, str(error))
        return Done({"saga_id": context.saga_id})


class _StepOfSaga(msgspec.Struct):
    saga_id: str
    step: str


class _Told(TypedDict):
    """The number of steps that were reported."""

    told: int


class DecidedView(PlainView):
    """POST a list of decided steps: 200; the sagas that rest at them go on."""

    coordinator: Coordinator

    @door_by(
        lambda view, path: declared(
            callers=projection.participants(),
            takes=list[_StepOfSaga],
            gives={200: _Told},
            most_bytes=MOST_BYTES,
        )
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        steps = decode(request.body, type=list[_StepOfSaga])
        if len(steps) > MOST_IN_A_BATCH:
            raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} steps in one list")
        if self.coordinator.decided:
            self.coordinator.decided(steps=[(step.saga_id, step.step) for step in steps])
        failpoints.reach("coordinator.before_told")
        return answer({"told": len(steps)})


def _contexts(body: bytes) -> list[Context | Refused]:
    """Decodes all at once; if that fails, one by one, so that a malformed saga harms no other."""
    try:
        return list(decode(body, type=list[Context]))
    except msgspec.ValidationError:
        return [_context(context) for context in decode(body, type=list[msgspec.Raw])]


def _context(body: msgspec.Raw) -> Context | Refused:
    try:
        return decode(body, type=Context)
    except msgspec.ValidationError as error:
        return Refused(refusals.MALFORMED_SAGA, str(error))


def urls(coordinator: Coordinator) -> Iterator[URLPattern]:
    """The paths for services."""
    for where in {patterns.PATTERNS[name].hand_over for name in coordinator.patterns}:
        yield path(where[1:], made(HandOverView, coordinator=coordinator))
        if coordinator.decided:
            yield path(f"{where[1:]}/decided", made(DecidedView, coordinator=coordinator))
