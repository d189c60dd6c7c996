"""A saga's owner accepts it, in the same way for every pattern.

One transaction locks or inserts what the saga is about (a cart, say), freezes it, and inserts the
saga. Without an orchestrator the saga's first event is a row of the owner's outbox in that
transaction. With one, the process that accepted the saga hands it over to the coordinator at once.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from django.conf import settings

from contracts import events, projection, refusals
from contracts.bounds import IdRead, SagaPattern, Traceparent
from contracts.events import Event, Facts
from contracts.outcomes import Done, Outcome, Refused
from contracts.patterns import STARTING_THEMSELVES
from contracts.saga import SAGAS, Command, Context
from coordination.models import AcceptedSaga
from coordination.store import AcceptedSagas, Key
from participant.operations import Operation

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Accept(Command, frozen=True, kw_only=True):
    """Accept this saga. Each owner's own command adds the fields of its sagas.

    `idempotency_key`: the user's, or empty. `fingerprint`: of the request.
    """

    saga_pattern: SagaPattern
    user_id: IdRead | None = None
    traceparent: Traceparent = ""
    idempotency_key: str = ""
    fingerprint: str = ""


class Accepted(Done, frozen=True, kw_only=True):
    """The saga is accepted, and its steps will get this context; only `data` is stored here."""

    context: Context


@dataclass(frozen=True, kw_only=True)
class AcceptanceResult:
    """The accepted saga. `context`: None if an earlier request with its Idempotency-Key started it.
    `told`: further fields of the owner's answer, such as total_amount.
    """

    saga_id: str
    context: Context | None
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        return self.context is not None


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A service that accepts sagas. `model`: its table of sagas; `accept`: its operation that
    accepts a saga; `fail`: the operation that ends a saga without success.
    """

    model: type[AcceptedSaga]
    accept: Operation
    fail: Operation

    @property
    def service(self) -> str:
        return self.accept.service

    @property
    def sagas(self) -> AcceptedSagas:
        return AcceptedSagas(service=self.service, table=self.model._meta.db_table)


def is_own_start(pattern: str) -> bool:
    """Whether the owner's first event starts a saga of this pattern."""
    return pattern in STARTING_THEMSELVES


def context_of(*, command: Accept, subject: str, user_id: str, known: Mapping[str, Any]) -> Context:
    """The context for the saga's steps: those fields of `known` that its definition needs.
    `user_id`: whose saga it is.
    """
    return Context(
        saga=command.saga,
        saga_id=command.saga_id,
        pattern=command.saga_pattern,
        subject=subject,
        user_id=user_id,
        traceparent=command.traceparent,
        data=projection.select(command.saga, dict(known)),
    )


def first_event(*, context: Context, now: datetime) -> Event:
    """The event that starts a saga without an orchestrator."""
    step = SAGAS[context.saga].steps[0]
    return Event(
        id=events.event_id(saga_id=context.saga_id, step=step.name, direction="do"),
        type=step.done,
        saga_id=context.saga_id,
        saga=context.saga,
        occurred_at=now,
        data=Facts(context=msgspec.Raw(msgspec.json.encode(context))),
        traceparent=context.traceparent,
    )


A = TypeVar("A", bound=Accept)


class SortedOut(NamedTuple, Generic[A]):
    """`fresh`: commands to be decided. `known`: by saga id, the stored keys of commands whose
    Idempotency-Key is in use; `refused`: by saga id, commands of users with too many sagas.
    """

    fresh: list[A]
    known: Mapping[str, Key]
    refused: Mapping[str, Outcome]


def sort_out(
    *, owner: Owner, commands: Sequence[A], users: Mapping[str, str | None]
) -> SortedOut[A]:
    """Sorts out the commands to be decided; inserts their Idempotency-Keys. `users`: by saga id;
    a command without a user has no key and is not counted.

    The caller has locked what the sagas are about before this.
    """
    known = _take_keys(owner, commands, users)
    new = [command for command in commands if command.saga_id not in known]
    refused = _too_many(owner, new, users)
    fresh = [command for command in new if command.saga_id not in refused]
    return SortedOut(fresh, known, refused)


def _too_many(
    owner: Owner, commands: Sequence[Accept], users: Mapping[str, str | None]
) -> dict[str, Outcome]:
    most = getattr(settings, "MOST_UNDER_WAY", 0)
    counted = [command for command in commands if most and users.get(command.saga_id)]
    if not counted:
        return {}
    named = {command.saga_id: users[command.saga_id] or "" for command in counted}
    under_way = Counter(owner.sagas.under_way(user_ids=list(named.values())))
    refused: dict[str, Outcome] = {}
    for saga_id, user in named.items():
        under_way[user] += 1
        if under_way[user] > most:
            detail = f"You may have at most {most} unfinished sagas: try again when one has ended."
            refused[saga_id] = Refused(refusals.TOO_MANY_UNDER_WAY, detail)
    return refused


def _take_keys(
    owner: Owner, commands: Sequence[Accept], users: Mapping[str, str | None]
) -> dict[str, Key]:
    keys = [
        Key(
            user_id=user,
            key=command.idempotency_key,
            saga_id=command.saga_id,
            fingerprint=command.fingerprint,
        )
        for command in commands
        if command.idempotency_key and (user := users.get(command.saga_id))
    ]
    return owner.sagas.take_keys(keys=keys)


def answered(
    *,
    owner: Owner,
    commands: Sequence[Accept],
    among: SortedOut[Any],
    decided: Mapping[str, Outcome],
) -> list[Outcome]:
    """An outcome for each command: as `decided` (by saga id) for fresh ones; refused; or, if its
    key was known, the key's saga or the refusal idempotency_key_reused. Frees the keys of refused
    commands.
    """
    known, decided = among.known, {**decided, **among.refused}
    refused = [command for command in commands if isinstance(decided.get(command.saga_id), Refused)]
    owner.sagas.free_keys(
        saga_ids=[command.saga_id for command in refused if command.idempotency_key]
    )
    return [
        _repeated(command, known[command.saga_id], decided)
        if command.saga_id in known
        else decided[command.saga_id]
        for command in commands
    ]


def _repeated(command: Accept, key: Key, decided: Mapping[str, Outcome]) -> Outcome:
    """The outcome for a known key: an earlier saga, or an earlier command of the same list."""
    if key.fingerprint != command.fingerprint:
        detail = "This Idempotency-Key belongs to a request with another body: use a new key."
        return Refused(refusals.KEY_REUSED, detail)
    first = decided.get(key.saga_id)
    return first if isinstance(first, Refused) else Done({"repeats": key.saga_id})


def traceparent_of(*, header: str) -> str:
    """The caller's trace (W3C Trace Context), or a new trace, which is not recorded."""
    if _TRACEPARENT.fullmatch(header):
        return header
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
