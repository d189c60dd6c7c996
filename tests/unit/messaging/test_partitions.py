"""Relays share the partitions of an outbox evenly, however they come and go."""

import random

import pytest

from messaging.outbox import ALL_PARTITIONS
from messaging.partitions import Share, shares


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (0, [], (12, 0)),
        (12, [], (0, 0)),
        (12, [0], (0, 6)),
        (0, [12], (6, 0)),
        (6, [6], (0, 0)),
        (12, [0, 0], (0, 8)),
        (4, [4, 4, 0], (0, 1)),
        (3, [3, 3, 3, 0], (0, 1)),
        (0, [1] * 12, (1, 0)),
    ],
)
def test_even_share_is_taken_and_partitions_that_others_lack_are_given_up(own, others, expected):
    assert shares(own=own, others=others) == expected


class Relay(Share):
    """Reads the others' sets instead of their locks."""

    def __init__(self, relays):
        super().__init__(service="inventario", on_released=lambda: None)
        self._is_present, self._relays = True, relays

    def _held(self):
        return self.mine, [relay.mine for relay in self._relays if relay is not self]

    def _take(self, numbers):
        self.mine |= frozenset(numbers)

    def _end_those_that_stand_still(self):
        pass

    def look(self):
        surplus = self.to_give_up()
        self.mine -= surplus


@pytest.mark.parametrize("seed", range(20))
def test_relays_that_come_and_go_soon_share_all_of_it_evenly(seed):
    draw = random.Random(seed)
    relays: list[Relay] = []
    for _ in range(30):
        if relays and draw.random() < 0.4:
            relays.remove(draw.choice(relays))
        else:
            relays.append(Relay(relays))
        for _ in range(12):
            for relay in draw.sample(relays, len(relays)):
                relay.look()
        assert sorted(part for relay in relays for part in relay.mine) == (
            sorted(ALL_PARTITIONS) if relays else []
        )
        counts = [len(relay.mine) for relay in relays]
        assert max(counts, default=0) - min(counts, default=0) <= 1


def test_partitions_that_the_other_relay_does_not_take_are_not_left():
    relays: list[Relay] = []
    relays += [Relay(relays), Relay(relays)]  # the second one stands still
    had: set[int] = set()
    for _ in range(2):
        relays[0].look()
        had |= relays[0].mine
    assert had == ALL_PARTITIONS
