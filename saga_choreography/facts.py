"""The events that this service says, and an event as an entry of a trail."""

from datetime import datetime

import msgspec

from contracts import events, sagas
from contracts.commands import Checkout
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from saga_choreography.entries import Said, Seen

_checkout = msgspec.json.Decoder(Checkout)


def initiated(*, checkout: Checkout, now: datetime) -> Event:
    """The event that sets the chain off."""
    context = msgspec.Raw(msgspec.json.encode(checkout))
    return _event(checkout.saga_id, events.CHECKOUT_INITIATED, now, Facts(context=context))


def requested(
    *, event_type: str, saga_id: str, context: msgspec.Raw, failure: Failure, now: datetime
) -> Event:
    """Asks for an abort or a return. `failure`: why the saga goes backward, if it then does."""
    return _event(saga_id, event_type, now, Facts(context=context, failure=failure))


def skipped(
    *,
    event_type: str,
    saga_id: str,
    context: msgspec.Raw,
    failure: Failure | None,
    reason: str,
    now: datetime,
) -> Event:
    """Said on a step's behalf, which a person has seen to otherwise (`reason`)."""
    result = {"skipped": reason}
    return _event(saga_id, event_type, now, Facts(context=context, result=result, failure=failure))


def again(*, seen: Seen, context: msgspec.Raw) -> Event:
    """The same fact once more, as a nudge: whoever knows it says its own outcome again.

    Raises msgspec.MsgspecError where the context is no checkout, as all that are said here.
    """
    return Event(
        id=seen.event_id,
        type=seen.event_type,
        saga_id=seen.saga_id,
        saga=sagas.CHECKOUT.name,
        occurred_at=seen.occurred_at,
        data=Facts(
            context=context,
            result=seen.data.result,
            failure=seen.data.failure,
            requested_at=seen.requested_at,
        ),
        cause_id=seen.cause_id,
        traceparent=_checkout.decode(context).traceparent,
        nudge=True,
    )


def as_seen(*, event: Event, now: datetime) -> Seen:
    """The event as an entry of its saga's trail."""
    return Seen(
        saga_id=event.saga_id,
        event_type=event.type,
        event_id=event.id,
        cause_id=event.cause_id,
        requested_at=event.data.requested_at,
        occurred_at=event.occurred_at,
        seen_at=now,
        data=Said(result=event.data.result, failure=event.data.failure),
    )


def _event(saga_id: str, event_type: str, now: datetime, facts: Facts) -> Event:
    return Event(
        id=events.event_id(saga_id=saga_id, event_type=event_type),
        type=event_type,
        saga_id=saga_id,
        saga=sagas.CHECKOUT.name,
        occurred_at=now,
        data=facts,
        traceparent=_checkout.decode(facts.context).traceparent,
    )
