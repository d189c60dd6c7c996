"""The trail: who did what to a service's rows, when, why and by which door, in the transaction of
the deed and in the service's own database: only ever added (`models.Intervention`).

A door says who acts (`begin`), before what is done writes it down (`note`); without one it is the
service itself.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.apps import apps


class Actor(NamedTuple):
    """Who acts; `by` is empty where nobody can tell. `via`: the door (api, admin, dashboard,
    command), or `service` where nobody asked. `jti`: of the token they showed; `trace_id`: of their
    request, where it is traced.
    """

    by: str = ""
    via: str = "service"
    reason: str = ""
    jti: str = ""
    trace_id: str = ""


_NOBODY = Actor()
_actor: ContextVar[Actor] = ContextVar("actor", default=_NOBODY)


def begin(actor: Actor) -> None:
    """From now on it is this one, until the request ends."""
    _actor.set(actor)


def end() -> None:
    """Whoever it was acts no more."""
    _actor.set(_NOBODY)


def because(reason: str, *, by: str = "") -> None:
    """Why they act, once that is read; and who they say they are, where nobody knows better."""
    known = _actor.get()
    _actor.set(known._replace(reason=reason, by=known.by or by))


def told() -> dict[str, str]:
    """Of an Intervention, what its door knows."""
    actor = _actor.get()
    return {"via": actor.via, "jti": actor.jti, "trace_id": actor.trace_id}


def note(*, service: str, action: str, subjects: Iterable[tuple[str, str]]) -> None:
    """That this was done to each of these: what it is (`product 4`), and what of it was changed.
    Within the transaction that does it.
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
