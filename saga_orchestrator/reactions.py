"""What saga_orchestrator does when it hears of a request: the saga that waits for it goes on."""

from contracts import projection
from contracts.catalogue import SAGAS
from messaging.reactions import Reaction
from saga_orchestrator.messages import Told, after_giving_up, after_reply

REACTIONS: list[Reaction] = [
    *(
        Told(saga=saga, hears=reply, move=after_reply)
        for saga, reply in sorted(projection.replies())
    ),
    # A group of its own, because something else follows.
    *(
        Told(
            saga=saga,
            hears=projection.STEP_PARKED,
            move=after_giving_up,
            group=projection.STEP_PARKED,
        )
        for saga in SAGAS
    ),
]
