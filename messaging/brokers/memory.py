"""The broker for tests: queues in this process, with a network's faults on demand.

`memory://login@name?seed=7&duplicate=0.02&reorder=1&drop=0.01` makes, for each name, one set of
queues for the whole process; the login may be left out, and its rights are not checked. For the
same calls in the same order, the seed decides everything:

* `duplicate`: the share of stored messages that are stored twice;
* `drop`: the share that is silently lost although confirmed (redrives repair this);
* `reorder`: with 1, `take` picks at random instead of the oldest.

`MemoryBroker.history` is the list of all actions, in order.
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
    """The faults to inject, and the seed that decides when. Shares are from 0 to 1."""

    seed: int = 0
    duplicate: float = 0.0
    drop: float = 0.0
    reorder: bool = False


class HistoryEntry(msgspec.Struct, frozen=True):
    """An action on a message in a queue."""

    action: Action
    queue: str
    message_id: str


class _Queue:
    """Messages by the number of their arrival, so that a returned message gets its old place."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.speakers: dict[int, str] = {}
        self.ready: list[int] = []  # sorted
        self.returned: set[int] = set()


class _Shared:
    """The state that all handles of one name share. Everything in it is guarded by `changed`."""

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
        """True without a login, which has all rights."""
        return not self._login

    @property
    def history(self) -> list[HistoryEntry]:
        """All actions on these queues so far, in order; a copy."""
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
        """Does nothing: no rights are checked here."""

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
        """By queue, the messages that may be taken, oldest first, with their arrival numbers."""
        with self._shared.changed:
            return {
                name.removeprefix(self._namespace): [
                    (arrival, queue.messages[arrival]) for arrival in queue.ready
                ]
                for name, queue in self._shared.queues.items()
            }

    def store_again(self, queue: str, arrival: int) -> None:
        """Duplicates a waiting message: the copy is the newest message."""
        name = self._namespace + queue
        with self._shared.changed:
            known = self._shared.queues[name]
            message, speaker = known.messages[arrival], known.speakers[arrival]
            self._shared.store(name, message, speaker, "duplicated")

    def lose(self, queue: str, arrival: int) -> None:
        """Loses a waiting message, although it was confirmed."""
        name = self._namespace + queue
        with self._shared.changed:
            found = self._shared.queues[name]
            found.ready.remove(arrival)
            message = found.messages.pop(arrival)
            self._shared.history.append(HistoryEntry("dropped", name, message.id))

    def purge(self) -> None:
        """Empties all queues and the history; forgets taken messages, too."""
        with self._shared.changed:
            for queue in self._shared.queues.values():
                queue.messages.clear()
                queue.ready.clear()
                queue.returned.clear()
            self._shared.history.clear()

    def ping(self) -> None:
        """Always succeeds."""

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()


class MemorySubscription:
    """A consumer of one queue; `tag` is the arrival number.

    `only`: the arrival number of the only message that the next `take` returns; None: any message.
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
    """Return a handle on the queues named in `url`, which are made at first use.

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
    """Drop the queues of a name: the next `connect` makes new ones."""
    with _by_name_lock:
        _by_name.pop(name, None)
