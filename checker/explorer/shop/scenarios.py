"""What is checked out in a world: few sagas on few units, so that they get in each other's way."""

from typing import NamedTuple

from carrito.operations import Accept
from contracts.statuses import Pattern

PRICE = "10.00"
SERVICES = ("carrito", "inventario", "pagos", "saga_choreography", "saga_orchestrator")
SLACK_SECONDS = 0.1
"""What is due so soon after another comes due with it, as it would by the time that takes."""


class Wanted(NamedTuple):
    """A checkout. `items`: product to quantity."""

    items: dict[int, int]
    payment_method: str = "credit_card"


class Scenario(NamedTuple):
    """`stock`: product to units. `sales`: how many sagas may complete where nobody interferes."""

    name: str
    stock: dict[int, int]
    wanted: list[Wanted]
    sales: frozenset[int]


SCENARIOS = (
    Scenario("one", {1: 1}, [Wanted({1: 1})], frozenset({1})),
    Scenario("declined", {1: 1}, [Wanted({1: 1}, "card_declined")], frozenset({0})),
    Scenario("race", {1: 1}, [Wanted({1: 1}), Wanted({1: 1})], frozenset({1})),
    Scenario("crossed", {1: 1, 2: 1}, [Wanted({1: 1, 2: 1})] * 2, frozenset({1})),
    Scenario("freed", {1: 1}, [Wanted({1: 1}, "card_declined"), Wanted({1: 1})], frozenset({0, 1})),
)
"""`freed`: what the declined one gives back may go to the other, or come too late for it."""


def saga_ids_of(scenario: Scenario) -> list[str]:
    """`saga-1`, `saga-2`, ..."""
    return [f"saga-{number}" for number, _ in enumerate(scenario.wanted, start=1)]


def accepting(scenario: Scenario, pattern: Pattern) -> list[Accept]:
    """The commands that accept its checkouts; each saga has the cart of its own name."""
    return [
        Accept(
            saga_id=saga_id,
            cart_id=saga_id,
            payment_method=wanted.payment_method,
            saga_pattern=pattern,
        )
        for saga_id, wanted in zip(saga_ids_of(scenario), scenario.wanted, strict=True)
    ]
