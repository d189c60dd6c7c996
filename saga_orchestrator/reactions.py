"""What saga_orchestrator does when it hears of a request: the saga that waits for it goes on."""

from contracts import events, sagas
from messaging.reactions import Reaction
from saga_orchestrator.replies import Told, after_giving_up, after_reply

REACTIONS: list[Reaction] = [
    *(Told(hears=reply, move=after_reply) for reply in sorted(sagas.REPLIES)),
    # A group of its own, because something else follows.
    Told(hears=events.STEP_PARKED, move=after_giving_up, group=events.STEP_PARKED),
]
