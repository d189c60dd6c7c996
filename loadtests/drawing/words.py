"""Numbers and names for people."""

import math
from collections.abc import Sequence

CHECKOUT = "checkout"
FLOOR = "monolith"
"""Measured beside the patterns to show the cost of distribution; not a pattern to choose."""
NAMES = {
    "orchestrated": "orchestrated",
    "choreographed": "choreographed",
    "orchestrated_messaging": "orchestrated over messages",
    "temporal": "Temporal",
    FLOOR: "monolith (no saga)",
}
NEVER = "never"
RIVALS = {
    "dbos": "DBOS",
    "temporal_memory": "Temporal in memory",
    "temporal_sqlite": "Temporal on SQLite",
    "floor": "the floor",
}
"""Products of others, and plain transactions without coordination (loadtests/rivals)."""
PER_CENT = "\u202f%"
"""With a narrow no-break space."""
PLAIN = str.maketrans("\u202f\u2212", " -")
"""For terminals, as some lack the page's characters."""
SHORT = {
    "orchestrated_messaging": "over messages",
    FLOOR: FLOOR,
    "temporal_memory": "Temporal",
    "temporal_sqlite": "Temporal/file",
}


def of_saga(text: str, *, saga: str) -> str:
    """The text with "checkout" replaced by the run's saga: chapters are written for checkouts."""
    return text.replace(CHECKOUT, saga).replace(CHECKOUT.upper(), saga.upper())


def name_of(pattern: str) -> str:
    """A pattern's name in a sentence."""
    return (NAMES | RIVALS).get(pattern, pattern.replace("_", " "))


def short_name_of(pattern: str) -> str:
    """A pattern's name where room is short."""
    return SHORT.get(pattern, name_of(pattern))


def colour_of(pattern: str) -> str:
    """The CSS class of a pattern's colour: the same in every chart of every run."""
    known = list(NAMES)
    return f"s{known.index(pattern) if pattern in known else len(known)}"


def number(value: float | None) -> str:
    """About three digits, so that figures of any size fit a column; "never" for None and
    infinity."""
    if value is None or math.isinf(value):
        return NEVER
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def tick(value: float) -> str:
    """A round number on an axis."""
    return f"{value:,.10g}".replace(",", "\u202f")


def ms(value: float | None) -> str:
    return with_unit(value, "ms")


def with_unit(value: float | None, unit: str, *, shown: str = "") -> str:
    """`12.3 ms`, `45/s`, `3`, `never`. `shown`: the number as text, if not as `number` has it."""
    is_count = value is not None and not unit and value.is_integer()
    shown = shown or (f"{value:.0f}" if is_count else number(value))
    if shown == NEVER or not unit:
        return shown
    return f"{shown}{unit}" if unit.startswith("/") else f"{shown} {unit}"


def percent(share: float) -> str:
    """A share of all as a percentile is written: 0.999 is 99.9 %."""
    return f"{share * 100:.6g}{PER_CENT}"


def spread(values: Sequence[float | None]) -> str:
    """The lowest and the highest."""
    if not values:
        return ""
    known = [value for value in values if value is not None]
    highest = max(known) if len(known) == len(values) else None
    return f"{number(min(known) if known else None)} to {number(highest)}"


def bounds(low: float, high: float | None) -> str:
    """An interval in words: 0 is no lower bound, None no upper bound."""
    if high is None:
        return f"{low:.0f} or more" if low else "not known"
    return f"{low:.0f} to {high:.0f}" if low else f"below {high:.0f}"


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def sentence_name_of(pattern: str) -> str:
    """A pattern's name at the beginning of a sentence."""
    return begun(name_of(pattern))


def begun(words: str) -> str:
    """As the beginning of a sentence."""
    return words[:1].upper() + words[1:]


def share(value: float) -> str:
    """0.125 is 13 %."""
    return f"{value * 100:.0f}{PER_CENT}"


def signed(value: float) -> str:
    """A share with its sign; the minus sign is as wide as the plus."""
    return f"{value * 100:+.0f}{PER_CENT}".replace("-", "\u2212")
