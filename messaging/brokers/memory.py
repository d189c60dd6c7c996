"""The broker for tests: queues in this process, and on demand everything a network does to them.

`memory://login@name?seed=7&duplicate=0.02&reorder=1&drop=0.01` gives, for each name, one set of
queues for the whole process; the login, which may be left out, has no rights to be held to. Given
the same calls in the same order, the seed decides everything:

* `duplicate`: the share of stored messages that are stored twice;
* `drop`: the share that is silently lost although confirmed (what redrives are there to heal);
* `reorder`: with 1, `take` picks at random instead of the oldest.

`MemoryBroker.history` tells what was done, in order.
"""

from __future__ import annotations

import random
import threading
import time
from bisect import insort
from collections.abc import Sequence
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

from messaging.brokers import (
    BrokerUnavailable,
    Delivery,
    Message,
    Rights,
    Unroutable,
    refuse_invalid,
)

Action = Literal["stored", "duplicated", "dropped", "taken", "acked", "returned"]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong on purpose, and the seed that decides when. Shares are from 0 to 1."""

    seed: int = 0
    duplicate: float = 0.0
    drop: float = 0.0
    reorder: bool = False


class HistoryEntry(msgspec.Struct, frozen=True):
    """One entry of the history: what happened to which message in which queue."""

    action: Action
    queue: str
    message_id: str


class _Queue:
    """Messages by the number of their arrival, so that a returned one finds its old place."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.speakers: dict[int, str] = {}
        self.ready: list[int] = []  # sorted
        self.returned: set[int] = set()


class _Shared:
    """What all handles of one name share. Everything in it is guarded by `changed`."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.random = random.Random(faults.seed)  # noqa: S311  # repeatable, not secret
        self.changed = threading.Condition()
        self.queues: dict[str, _Queue] = {}
        self.bindings: dict[str, list[str]] = {}
        self.history: list[HistoryEntry] = []
        self.arrivals = 0

    def store(self, queue: str, message: Message, speaker: str, action: Action = "stored") -> None:
        self.arrivals += 1
        self.queues[queue].messages[self.arrivals] = message
        self.queues[queue].speakers[self.arrivals] = speaker
        self.queues[queue].ready.append(self.arrivals)
        self.history.append(HistoryEntry(action, queue, message.id))

    def route(self, queue: str, message: Message, speaker: str) -> None:
        if self.random.random() < self.faults.drop:
            self.history.append(HistoryEntry("dropped", queue, message.id))
            return
        self.store(queue, message, speaker)
        if self.random.random() < self.faults.duplicate:
            self.store(queue, message, speaker, "duplicated")

    def pick(self, ready: list[int]) -> int:
        return ready.pop(self.random.randrange(len(ready)) if self.faults.reorder else 0)


class MemoryBroker:
    """A handle on the queues of one name; closing it leaves them as they are."""

    def __init__(self, shared: _Shared, *, namespace: str = "", login: str = "") -> None:
        self._shared = shared
        self._namespace = namespace
        self._login = login
        self._subscriptions: list[MemorySubscription] = []

    @property
    def login(self) -> str:
        return self._login

    def may_configure(self) -> bool:
        """Who is told no login is everybody."""
        return not self._login

    @property
    def history(self) -> list[HistoryEntry]:
        """Everything done to these queues so far, in order; a copy."""
        with self._shared.changed:
            return list(self._shared.history)

    def describe(self) -> dict[str, str]:
        return {
            "broker": "memory",
            "queues": "in this process, not durable",
            "publishing": "routed before it returns",
            "acknowledging": "by hand",
        }

    def declare(self, *, queue: str, events: Sequence[str]) -> None:
        name = self._namespace + queue
        with self._shared.changed:
            self._shared.queues.setdefault(name, _Queue())
            for event in events:
                bound = self._shared.bindings.setdefault(self._namespace + event, [])
                if name not in bound:
                    bound.append(name)

    def grant(self, rights: Rights) -> None:
        """Nothing: nobody is held to any rights here."""

    def publish(self, messages: Sequence[Message]) -> None:
        refuse_invalid(messages)
        unroutable = []
        with self._shared.changed:
            for message in messages:
                queues = self._shared.bindings.get(self._namespace + message.type)
                if not queues:
                    unroutable.append(message.id)
                for queue in queues or ():
                    self._shared.route(queue, message, self._login)
            self._shared.changed.notify_all()
        if unroutable:
            raise Unroutable(unroutable)

    def subscribe(self, *, queue: str, prefetch: int) -> MemorySubscription:
        name = self._namespace + queue
        with self._shared.changed:
            if name not in self._shared.queues:
                raise BrokerUnavailable(f"no queue {name!r}: declare it first")
        subscription = MemorySubscription(self._shared, name, prefetch)
        self._subscriptions.append(subscription)
        return subscription

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        with self._shared.changed:
            found = {name: self._shared.queues.get(self._namespace + name) for name in queues}
            return {name: len(queue.messages) if queue else 0 for name, queue in found.items()}

    def waiting(self) -> dict[str, list[tuple[int, Message]]]:
        """What may be taken from each queue, oldest first, by the number of its arrival."""
        with self._shared.changed:
            return {
                name.removeprefix(self._namespace): [
                    (arrival, queue.messages[arrival]) for arrival in queue.ready
                ]
                for name, queue in self._shared.queues.items()
            }

    def store_again(self, queue: str, arrival: int) -> None:
        """Doubles a message that waits: the copy is the newest then."""
        name = self._namespace + queue
        with self._shared.changed:
            known = self._shared.queues[name]
            message, speaker = known.messages[arrival], known.speakers[arrival]
            self._shared.store(name, message, speaker, "duplicated")

    def lose(self, queue: str, arrival: int) -> None:
        """Loses a message that waits, although it was confirmed."""
        name = self._namespace + queue
        with self._shared.changed:
            found = self._shared.queues[name]
            found.ready.remove(arrival)
            message = found.messages.pop(arrival)
            self._shared.history.append(HistoryEntry("dropped", name, message.id))

    def purge(self) -> None:
        """Empties all queues and the history; what was taken is forgotten, too."""
        with self._shared.changed:
            for queue in self._shared.queues.values():
                queue.messages.clear()
                queue.ready.clear()
                queue.returned.clear()
            self._shared.history.clear()

    def ping(self) -> None:
        """Always well."""

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()


class MemorySubscription:
    """A consumer of one queue; `tag` is the arrival number.

    `only`: what the next `take` gives, and nothing else; None: whatever is there.
    """

    def __init__(self, shared: _Shared, queue: str, prefetch: int) -> None:
        self._shared = shared
        self._name = queue
        self._queue = shared.queues[queue]
        self._prefetch = prefetch
        self._mine: set[int] = set()
        self._closed = False
        self.only: int | None = None

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout
        with self._shared.changed:
            while not self._closed:
                room = min(limit, self._prefetch - len(self._mine), len(self._queue.ready))
                if self.only is not None:
                    return [self._take_only(self.only)] if room > 0 else []
                if room > 0:
                    return [self._take_one() for _ in range(room)]
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._shared.changed.wait(remaining)
        return []

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        with self._shared.changed:
            for delivery in self._still_mine(deliveries):
                del self._queue.messages[delivery.tag]
                self._mine.discard(delivery.tag)
                self._note("acked", delivery.message)
            self._shared.changed.notify_all()

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        with self._shared.changed:
            for delivery in self._still_mine(deliveries):
                self._return(delivery.tag)
            self._shared.changed.notify_all()

    def close(self) -> None:
        with self._shared.changed:
            self._closed = True
            for arrival in sorted(self._mine):
                self._return(arrival)
            self._shared.changed.notify_all()

    def _take_only(self, arrival: int) -> Delivery:
        self.only = None
        self._queue.ready.remove(arrival)
        return self._given(arrival)

    def _take_one(self) -> Delivery:
        return self._given(self._shared.pick(self._queue.ready))

    def _given(self, arrival: int) -> Delivery:
        message = self._queue.messages[arrival]
        self._mine.add(arrival)
        self._note("taken", message)
        speaker = self._queue.speakers[arrival]
        return Delivery(message, arrival in self._queue.returned, arrival, speaker)

    def _still_mine(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        return [delivery for delivery in deliveries if delivery.tag in self._mine]

    def _return(self, arrival: int) -> None:
        insort(self._queue.ready, arrival)
        self._queue.returned.add(arrival)
        self._mine.discard(arrival)
        self._note("returned", self._queue.messages[arrival])

    def _note(self, action: Action, message: Message) -> None:
        self._shared.history.append(HistoryEntry(action, self._name, message.id))


_by_name: dict[str, _Shared] = {}
_by_name_lock = threading.Lock()


def connect_memory(url: str, *, namespace: str = "") -> MemoryBroker:
    """Give a handle on the queues named in `url`, making them at first use.

    Raises ValueError for an unknown option, or when the name is in use with other options.
    """
    parts = urlsplit(url)
    try:
        faults = msgspec.convert(dict(parse_qsl(parts.query)), Faults, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{url}: {error}") from error
    login, _, name = parts.netloc.rpartition("@")
    with _by_name_lock:
        shared = _by_name.setdefault(name, _Shared(faults))
    if shared.faults != faults:
        raise ValueError(f"memory://{name} is in use with other options: {shared.faults}")
    return MemoryBroker(shared, namespace=namespace, login=login)


def forget(name: str) -> None:
    """Drop the queues of a name: the next `connect` starts afresh."""
    with _by_name_lock:
        _by_name.pop(name, None)
