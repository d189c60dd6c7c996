"""The arms of a comparison: each a pattern, and maybe something that sets it apart.

`orchestrated`; `orchestrated again`: the same once more; `orchestrated +2ms`: with payments that
take so much longer. An arm is written as one string, and is called a pattern where its figures are.
"""

from loadtests.load.shopper import GOOD_CARD, SLOW_CARD


def twice(*, pattern: str, delay_ms: float) -> list[str]:
    """A pattern beside itself: with nothing to find, or with a delay that should be found."""
    return [pattern, f"{pattern} +{delay_ms:g}ms" if delay_ms else f"{pattern} again"]


def pattern_of(*, arm: str) -> str:
    """The `saga_pattern` that its checkouts name."""
    return arm.partition(" ")[0]


def delay_ms_of(*, arm: str) -> float:
    """How much longer its payments take; 0 for most."""
    _, _, delay = arm.partition("+")
    return float(delay.removesuffix("ms")) if delay else 0.0


def card_of(*, arm: str) -> str:
    """What its checkouts are paid with, unless they are to be declined."""
    return SLOW_CARD if delay_ms_of(arm=arm) else GOOD_CARD
