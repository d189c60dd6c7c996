"""Where a graph goes round in a circle."""

from collections.abc import Iterator, Mapping, Sequence


def rings(leads: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """One ring through each knot of nodes that lead to each other, beginning with the first by
    name: the shortest one.
    """
    reach = {node: _reachable(node, leads) for node in leads}
    seen: set[str] = set()
    for node in sorted(leads):
        if node in reach[node] and node not in seen:
            yield _shortest(node, leads)
            seen |= {other for other in reach[node] if node in reach.get(other, ())}


def _reachable(start: str, leads: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for node in leads.get(waiting.pop(), ()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found


def _shortest(start: str, leads: Mapping[str, Sequence[str]]) -> list[str]:
    paths = [[start]]
    for path in paths:
        for node in leads.get(path[-1], ()):
            if node == start:
                return path
            if node not in path:
                paths.append([*path, node])
    raise AssertionError(f"{start} is on no ring")
