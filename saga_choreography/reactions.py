"""What saga_choreography does when it hears an event of any saga: it writes it down, and says
nothing.

But for two: where a service has given up, the saga is aborted or parked; where one waits for a
decision, it is left alone until then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts import projection
from contracts.events import Event
from contracts.saga import SAGAS
from messaging.reactions import Reaction
from saga_choreography import store
from saga_choreography.tracking import track
from saga_choreography.watchdog import leave_alone, take_note


@dataclass(frozen=True, kw_only=True)
class ProjectionHandler:
    """The reaction to any event; those of all sagas go into one batch. Notices are looked at last:
    a saga may be known only from events that have come with them.
    """

    saga: str
    on: str
    group: str = "watching"
    step: str = ""

    def handle(self, heard: Sequence[Event]) -> None:
        now = store.now()
        waiting = [event for event in heard if event.type == projection.STEP_WAITING]
        given_up = [event for event in heard if event.type == projection.STEP_PARKED]
        others = [event for event in heard if event.type not in projection.NOTICES]
        if others:
            track(heard=others, now=now)
        if waiting:
            leave_alone(heard=waiting, now=now)
        if given_up:
            take_note(heard=given_up, now=now)


REACTIONS: list[Reaction] = [
    ProjectionHandler(saga=saga, on=event)
    for saga in SAGAS
    for event in (*projection.events(saga), *projection.NOTICES)
]
