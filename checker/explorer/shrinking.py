"""Makes a schedule that breaks something shorter, as long as it still breaks something."""

from checker.explorer.choosing import Deviations, Given
from checker.explorer.scheduling import Played, Player, World

MOST_TRIES = 2_000


def shrink(*, world: World, deviations: Deviations) -> Played:
    """The shortest schedule found by leaving deviations out, then by making each smaller.

    Which breach it ends in may change on the way: any is one too many.
    """
    search = _Search(world)
    best = search.play(deviations)
    before = None
    while best.deviations != before and search.has_tries:
        before = best.deviations
        best = _left_out(search, best)
        best = _lowered(search, best)
    return best


class _Search:
    def __init__(self, world: World) -> None:
        self._world = world
        self._tries = 0

    @property
    def has_tries(self) -> bool:
        return self._tries < MOST_TRIES

    def play(self, deviations: Deviations) -> Played:
        self._tries += 1
        return Player(world=self._world, chooser=Given(deviations)).play()


def _left_out(search: _Search, best: Played) -> Played:
    """Without large parts first, then without single deviations."""
    size = max(1, len(best.deviations) // 2)
    while size and search.has_tries:
        found = _first(
            search,
            best,
            [_without(best.deviations, at, size) for at in range(0, len(best.deviations), size)],
        )
        best, size = (found, min(size, len(found.deviations))) if found else (best, size // 2)
    return best


def _lowered(search: _Search, best: Played) -> Played:
    """An option further up is the simpler one; a step earlier the shorter story."""
    for step, option in sorted(best.deviations.items()):
        if step not in best.deviations or not search.has_tries:
            continue
        others = {one: two for one, two in best.deviations.items() if one != step}
        lower = [{**others, step: smaller} for smaller in range(1, option)]
        best = _first(search, best, lower) or best
    return best


def _first(search: _Search, best: Played, candidates: list[dict[int, int]]) -> Played | None:
    for one in candidates:
        if not search.has_tries:
            return None
        played = search.play(one)
        if played.breaches and _size(played) < _size(best):
            return played
    return None


def _size(played: Played) -> tuple[int, int]:
    return len(played.deviations), sum(played.deviations.values())


def _without(deviations: Deviations, at: int, size: int) -> dict[int, int]:
    kept = sorted(deviations.items())
    return dict(kept[:at] + kept[at + size :])
