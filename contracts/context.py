"""What a saga is about, as its steps see it: frozen when it was accepted, passed on as it came."""

from typing import Any

import msgspec

from contracts.bounds import Id, SagaPattern, Traceparent


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`subject`: the cart, order or booking that it is about. `data`: what its steps need, and
    nothing else (`projection.select`). `results`: of earlier steps, what later ones need, by step.
    """

    saga: Id
    saga_id: Id
    pattern: SagaPattern
    subject: Id
    traceparent: Traceparent = ""
    data: dict[str, Any] = {}
    results: dict[str, dict[str, Any]] = {}


def stand_in(*, saga: str, saga_id: str, pattern: str, subject: str) -> Context:
    """In the place of a context that can't be read any more: enough to undo all of it, because an
    undo needs only to know whose step it is.
    """
    return Context(
        saga=saga or "unknown",
        saga_id=saga_id,
        pattern=pattern or "unknown",
        subject=subject or "unknown",
    )
