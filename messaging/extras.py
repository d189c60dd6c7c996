"""The extra steps (`contracts.extras`) by message: what a service adds to its reactions."""

from messaging.answering import Answer
from messaging.reactions import Reaction, on
from sagas.extras import own


def reactions(*, service: str) -> list[Reaction]:
    """For each extra step of the service: on hearing that the step before is done, and when asked
    for it by a conductor. Usually none.
    """
    heard: list[Reaction] = []
    for extra, operation in own(service=service):
        heard += on(extra.hears, do=operation, says=extra.says)
        heard.append(Answer(hears=extra.request, operation=operation))
    return heard
