"""What must hold for one saga, by the numbers of the groups."""

from collections.abc import Callable, Iterator

from loadtests.audit import causes, outcomes
from loadtests.audit.evidence import Evidence

RULES: dict[int, Callable[[Evidence], Iterator[str]]] = {
    1: outcomes.held_stock,
    2: outcomes.money,
    3: outcomes.ended,
    4: outcomes.agreement,
    5: causes.undoing,
    6: causes.causes,
    8: outcomes.steady,
}


def breaches(saga: Evidence) -> Iterator[tuple[int, str]]:
    """Every breach of this saga, with the number of its group."""
    for group, rule in RULES.items():
        for what in rule(saga):
            yield group, what
