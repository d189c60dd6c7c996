"""What saga_orchestrator does on the reply to a request: the saga that waits for it goes on."""

from contracts import projection
from contracts.saga import SAGAS
from messaging.reactions import Reaction
from saga_orchestrator.messages import ReplyHandler, after_giving_up, after_notice, after_reply

REACTIONS: list[Reaction] = [
    *(
        ReplyHandler(saga=saga, on=reply, transition=after_reply)
        for saga, reply in sorted(projection.replies())
    ),
    # Groups of their own, because something else follows.
    *(
        ReplyHandler(saga=saga, on=notice, transition=transition, group=notice)
        for saga in SAGAS
        for notice, transition in (
            (projection.STEP_PARKED, after_giving_up),
            (projection.STEP_WAITING, after_notice),
        )
    ),
]
