"""A saga's owner accepts it: one way in, whichever pattern then coordinates it.

One transaction locks or records what the saga is about, freezes it, and records the saga. Where
there is no orchestrator, the saga's first event is a row of the owner's own outbox in that
transaction. Else it is handed over to the pattern's coordinator, at once, by the process that
accepted it.
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
    """Accept this saga. An owner's own command adds what its sagas are about.

    `idempotency_key`: the user's, empty without one. `fingerprint`: of what is asked for.
    """

    saga_pattern: SagaPattern
    user_id: IdRead | None = None
    traceparent: Traceparent = ""
    idempotency_key: str = ""
    fingerprint: str = ""


class Accepted(Done, frozen=True, kw_only=True):
    """It is accepted, and this is what its steps will see of it; only `data` is stored here."""

    context: Context


@dataclass(frozen=True, kw_only=True)
class AcceptanceResult:
    """The saga that was accepted; `context`: None where that was when its key was used first.
    `told`: what its owner answers of it, its total_amount for one.
    """

    saga_id: str
    context: Context | None
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        return self.context is not None


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A service that accepts sagas. `model`: its table of them; `accept`: how; `fail`: what ends
    one without success.
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
    """Whether a saga of this pattern is set going by its owner's own first event."""
    return pattern in STARTING_THEMSELVES


def context_of(*, command: Accept, subject: str, user_id: str, known: Mapping[str, Any]) -> Context:
    """What the saga's steps will see: of all that is `known`, what its page asks for. `user_id`:
    whose saga it is.
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
    """What sets the chain off, where there is no orchestrator."""
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
    """`fresh`: those to be decided. `known`: by saga id, whose key stands for a saga already;
    `refused`: whose user has too many under way.
    """

    fresh: list[A]
    known: Mapping[str, Key]
    refused: Mapping[str, Outcome]


def sort_out(
    *, owner: Owner, commands: Sequence[A], users: Mapping[str, str | None]
) -> SortedOut[A]:
    """What of these is to be decided; takes the Idempotency-Keys that come with them. `users`:
    whose each is, by saga id; nobody's is neither looked up nor counted.

    What the sagas are about is locked before this.
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
            detail = f"At most {most} of yours may be under way: again when one has ended."
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
    """An outcome for each: as `decided` (by saga id) of those that were fresh, or refused, or where
    its key was known what that stands for: another saga, or refused: idempotency_key_reused. What
    is refused leaves its key free.
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
    """What a known key stands for: a saga of before, or an earlier one of the same list."""
    if key.fingerprint != command.fingerprint:
        detail = "This Idempotency-Key belongs to a request with another body: use a new key."
        return Refused(refusals.KEY_REUSED, detail)
    first = decided.get(key.saga_id)
    return first if isinstance(first, Refused) else Done({"repeats": key.saga_id})


def traceparent_of(*, header: str) -> str:
    """The caller's trace (W3C Trace Context), or one that starts here, and is not recorded."""
    if _TRACEPARENT.fullmatch(header):
        return header
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
