"""A graph as a Mermaid flowchart."""

from checker.protocol.graph import Box, Graph


def draw(graph: Graph) -> str:
    """The flowchart, ready for a ```mermaid block."""
    ids = {box.name: f"n{number}" for number, box in enumerate(graph.boxes)}
    lines = ["flowchart TD"]
    lines += [f"    {ids[box.name]}{_shape(box)}" for box in graph.boxes]
    lines += [
        f"    {ids[box.name]} {_arrow(outcome.text, is_good=outcome.is_good)} {ids[to]}"
        for box in graph.boxes
        for outcome in box.outcomes
        for to in outcome.to
    ]
    return "\n".join(lines) + "\n"


def _shape(box: Box) -> str:
    return f'["{box.who}<br/>{box.what}"]' if box.who else f'(["{box.what}"])'


def _arrow(text: str, *, is_good: bool) -> str:
    return f"-->|{text}|" if is_good else f"-.->|{text}|"
