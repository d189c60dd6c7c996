"""The trail: who changed a service's rows, when, why and through which door. Its rows
(`models.Intervention`) are written in the transaction of the change, and never changed.

A door sets the actor (`begin`) before the change writes its row (`note`); by default the actor is
the service itself.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.apps import apps


class Actor(NamedTuple):
    """Who acts. `by`: empty if unknown. `via`: the door (api, admin, dashboard, command), or
    `service`, which acts by itself. `jti`: of the caller's token; `trace_id`: of the request, if it
    is traced.
    """

    by: str = ""
    via: str = "service"
    reason: str = ""
    jti: str = ""
    trace_id: str = ""


_NOBODY = Actor()
_actor: ContextVar[Actor] = ContextVar("actor", default=_NOBODY)


def begin(actor: Actor) -> None:
    """Sets the actor until the request ends."""
    _actor.set(actor)


def end() -> None:
    """Resets the actor, at the end of a request."""
    _actor.set(_NOBODY)


def because(reason: str, *, by: str = "") -> None:
    """Adds the reason, once it is read; and the caller's own name for itself, if the door knows no
    other.
    """
    known = _actor.get()
    _actor.set(known._replace(reason=reason, by=known.by or by))


def told() -> dict[str, str]:
    """The fields of an Intervention that its door sets."""
    actor = _actor.get()
    return {"via": actor.via, "jti": actor.jti, "trace_id": actor.trace_id}


def note(*, service: str, action: str, subjects: Iterable[tuple[str, str]]) -> None:
    """Writes that `action` was done to each subject (`product 4`), with the detail of what was
    changed. Call it in the transaction of the change.
    """
    actor = _actor.get()
    model: Any = apps.get_model(service, "Intervention")
    model.objects.bulk_create(
        model(
            action=action,
            subject=subject,
            detail=detail,
            requested_by=actor.by or actor.via,
            reason=actor.reason,
            **told(),
        )
        for subject, detail in subjects
    )
