"""Bugs on the way of events from one service to the next, and in watching them."""

from datetime import UTC, datetime

from msgspec.structs import replace

from contracts import events
from messaging import outbox
from messaging.brokers import Message, connect
from messaging.consumer import Consumer
from messaging.handlers import EventHandler
from messaging.relay import Relay
from saga_choreography import store, watchdog
from saga_choreography.store import Locked, SagaPhase
from tests.seeded.shop import BROKER


def ack_before_commit(patch) -> None:
    handle = Consumer.handle

    def acked_first(self, subscription):
        deliveries = subscription.take(limit=100, timeout=0)
        subscription.ack(deliveries)
        handle(self, deliveries)

    patch.setattr(Consumer, "_take_and_handle", acked_first)


def publish_before_commit(patch) -> None:
    """Without the outbox: other services act on an event whose transaction may be rolled back."""

    encode = events.encode

    def publish(*, service, events):
        messages = [Message(event.id, event.route, encode(event)) for event in events]
        connect(BROKER).publish(messages)

    patch.setattr(outbox, "add", publish)


def marked_before_confirmed(patch) -> None:
    send = Relay._send

    def marked_first(self, rows):
        now = datetime.now(UTC)
        outbox.mark_sent(service=self.service, given={row.id: now for row in rows})
        return send(self, rows)

    patch.setattr(Relay, "_send", marked_first)


def relay_by_last_id(patch) -> None:
    """The relay reads only the rows after the last id that it has seen."""
    last: dict[str, int] = {}
    unsent = outbox.unsent

    def after_the_last(*, service, limit, among):
        entries = unsent(service=service, limit=limit, among=among)
        rows = [entry for entry in entries if entry.id > last.get(service, 0)]
        if rows:
            last[service] = rows[-1].id
        return rows

    patch.setattr(outbox, "unsent", after_the_last)


def poison_dropped(patch) -> None:
    patch.setattr(Consumer, "_keep", lambda self, event, error, *, attempts: None)


def poison_blocks_the_queue(patch) -> None:
    patch.setattr(Consumer, "_handle_group", lambda self, reaction, group: reaction.handle(group))


def event_id_at_random(patch) -> None:
    made = events.event_id

    def random(*, direction, **rest):
        return made(direction=f"{direction} {next(numbers)}", **rest)

    numbers = iter(range(10**6))
    patch.setattr(events, "event_id", random)


def redrive_not_answered(patch) -> None:
    """A service that knows the event does not answer a redrive, as for a plain duplicate."""
    handle = EventHandler.handle
    patch.setattr(
        EventHandler,
        "handle",
        lambda self, received: handle(self, [replace(event, redrive=False) for event in received]),
    )


def redrive_never_sent(patch) -> None:
    patch.setattr(watchdog, "_redrive", lambda sagas, trails, now: None)


def status_goes_back(patch) -> None:
    """Any event sets its phase, however late it arrives."""
    patch.setattr(
        store, "lock_phases", lambda *, saga_ids: dict.fromkeys(saga_ids, Locked(SagaPhase(0)))
    )
