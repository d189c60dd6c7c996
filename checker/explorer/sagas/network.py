"""The card network as a party of its own, and who asks it for the steps that wait for it.

Intent (the step waits for it, committed), call under the saga's key, decision. What asks is a
stand-in for a service's own desk; what it does to the step is the real `coordination.decisions`.
"""

from collections import Counter
from collections.abc import Collection
from contextlib import suppress

from checker.explorer.sagas.participants import CARD_NETWORK, Participants
from checker.explorer.steering import Strike
from coordination import decisions
from httpapi.client import Unreachable
from participant.barrier import Key
from participant.decisions import Given
from participant.operations import NO, YES

BEFORE_CALL, ANSWERED = "desk.before_call", "desk.answered"
REQUEST, ANSWER = LOST = ("request", "answer")


class CardNetwork:
    """Takes money once a key, and remembers what it has answered. `loses`: what of the next call is
    lost on its way; `captured`: how often money was taken for each step.
    """

    def __init__(self) -> None:
        self.loses = ""
        self.captured: Counter[Key] = Counter()
        self._answers: dict[str, bool] = {}

    def clear(self) -> None:
        self.loses = ""
        self.captured.clear()
        self._answers.clear()

    def charge(self, *, key: str, step: Key, is_good: bool) -> bool:
        """Whether the money is taken. Raises Unreachable."""
        loses, self.loses = self.loses, ""
        if loses == REQUEST:
            raise Unreachable("the card network was not reached")
        if key not in self._answers:
            self._answers[key] = is_good
            self.captured[step] += is_good
        if loses == ANSWER:
            raise Unreachable("the card network's answer was lost")
        return self._answers[key]


class Desk:
    """Asks the card network. `is_at_once`: whoever has written the intent asks, and waits for the
    answer, as in a web process; otherwise it goes on, and the desk asks later.
    """

    def __init__(self, *, participants: Participants, strike: Strike) -> None:
        self.network = CardNetwork()
        self.is_at_once = True
        self._participants = participants
        self._strike = strike

    def pursue(self, keys: Collection[Key]) -> bool:
        """A `participant.decisions.System`. What is not answered is asked again later."""
        if not self.is_at_once:
            return False
        with suppress(Unreachable):
            for key in keys:
                self.ask(key=key)
        return True

    def ask(self, *, key: Key) -> None:
        """Call, and decision. Raises Unreachable."""
        saga_id, step = key
        scenario = self._participants.scenario
        self._strike.reached(BEFORE_CALL)
        is_good = self.network.charge(
            key=self._key_of(key), step=key, is_good=scenario.refused.get(saga_id) != step
        )
        self._strike.reached(ANSWERED)
        service, _, action = scenario.saga.step(step).operation.partition(".")
        given = Given(saga_id=saga_id, step=step, word=YES if is_good else NO)
        decisions.decide(service=service, action=action, given=[given], decided_by=CARD_NETWORK)

    def _key_of(self, key: Key) -> str:
        """The same, however often it is asked."""
        return " ".join(key)
