"""What a user asks about: the saga, the network, the shoppers; and which of that is answered."""

from dataclasses import dataclass

FEWEST_STEPS, MOST_STEPS = 3, 8
MOST_HOP_MS = 50.0
MOST_LOAD = 5000.0


class OutOfRange(ValueError):
    """An input that nothing can be said about; the text has the range."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """`hop_ms`: one way, between services, and between services and broker. `refusals`: share of
    declined cards, 0 to 1. `load`: checkouts a second."""

    steps: float
    hop_ms: float
    refusals: float
    load: float


def situation(*, steps: int, hop_ms: float, refusals: float, load: float) -> Situation:
    """Raises OutOfRange."""
    if not FEWEST_STEPS <= steps <= MOST_STEPS:
        raise OutOfRange(f"steps: {steps} is not from {FEWEST_STEPS} to {MOST_STEPS}")
    if not 0 <= hop_ms <= MOST_HOP_MS:
        raise OutOfRange(f"hop delay: {hop_ms:g} ms is not from 0 to {MOST_HOP_MS:g} ms")
    if not 0 <= refusals <= 1:
        raise OutOfRange(f"refusal rate: {refusals:g} is not a share from 0 to 1")
    if not 0 < load <= MOST_LOAD:
        raise OutOfRange(
            f"load: {load:g} is not above 0 and at most {MOST_LOAD:g} checkouts a second"
        )
    return Situation(steps=steps, hop_ms=hop_ms, refusals=refusals, load=load)
