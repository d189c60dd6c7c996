"""What saga_choreography does when it hears an event: it writes it down, and says nothing."""

from contracts import events
from saga_choreography.state import EVENT_TYPES
from saga_choreography.tracking import Tracking

REACTIONS = [
    Tracking(hears=event_type)
    for event_type in EVENT_TYPES
    # The first event is written to the trail in the transaction that says it.
    if event_type != events.CHECKOUT_INITIATED
]
