"""The worker parts of every service that hears events and says some."""

from collections.abc import Sequence

from messaging.brokers import Broker
from messaging.consumer import Consumer, queue_of
from messaging.probe import BrokerProbe
from messaging.reactions import Reaction
from messaging.relay import Relay
from messaging.worker import Part


def parts(
    *, service: str, broker: Broker, reactions: Sequence[Reaction], linger: float = 0.0
) -> list[Part]:
    """Consumer, relay and probe."""
    return [
        Consumer(service=service, broker=broker, reactions=reactions, linger=linger),
        Relay(service=service, broker=broker),
        BrokerProbe(queue=queue_of(service=service), broker=broker),
    ]
