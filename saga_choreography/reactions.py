"""What saga_choreography does when it hears an event: it writes it down, and says nothing.

But for one: where a service has given up, the saga is aborted or parked.
"""

from contracts import events
from messaging.reactions import Reaction
from saga_choreography.giving_up import GivingUp
from saga_choreography.state import EVENT_TYPES
from saga_choreography.tracking import Tracking

REACTIONS: list[Reaction] = [
    *(
        Tracking(hears=event_type)
        for event_type in EVENT_TYPES
        # The first event is written to the trail in the transaction that says it.
        if event_type != events.CHECKOUT_INITIATED
    ),
    GivingUp(),
]
