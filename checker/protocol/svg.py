"""A graph as SVG: text that can be selected, light and dark as the reader's screen is."""

from collections.abc import Iterator
from html import escape

from checker.protocol.graph import Box, Graph
from checker.protocol.layout import HEIGHT, LAYER_GAP, LINE_HEIGHT, Line, Place, lay_out

_HUES = (210, 35, 280, 150, 330, 60)
"""One for each service, by name: the same in every picture of the same services."""
_STYLE = """\
svg{background:#fff;color:#1f2328;font:12px ui-monospace,Menlo,Consolas,monospace}
text{fill:currentColor;text-anchor:middle}.what{font-weight:bold}
.line{fill:none;stroke:#57606a;stroke-width:1.5}.no{stroke:#cf222e;stroke-dasharray:5 4}
.box{stroke:#57606a}.cell{fill:none;stroke:#57606a}.head{fill:#57606a}.head.no{fill:#cf222e}
.end{fill:#eaeef2;stroke:#57606a}
@media(prefers-color-scheme:dark){svg{background:#0d1117;color:#e6edf3}
.line,.box,.cell,.end{stroke:#8b949e}.line.no{stroke:#ff7b72}.head{fill:#8b949e}
.head.no{fill:#ff7b72}.end{fill:#30363d}}"""


def draw(graph: Graph) -> str:
    """The picture, as the text of an SVG file."""
    layout = lay_out(graph)
    services = sorted({box.who for box in graph.boxes if box.who})
    size = f"{layout.width:.0f} {layout.height:.0f}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"'
        f' width="{layout.width:.0f}" height="{layout.height:.0f}" role="img">',
        f"<title>{escape(graph.title)}</title>",
        f"<style>{_STYLE}",
        *(_colours(number) for number, _ in enumerate(services)),
        "</style>",
        *(part for line in layout.lines for part in _line(line)),
    ]
    for box in graph.boxes:
        number = services.index(box.who) if box.who else -1
        lines += (
            _box(box, layout.places[box.name], number)
            if box.who
            else _end(box, layout.places[box.name])
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _colours(number: int) -> str:
    hue = _HUES[number % len(_HUES)]
    return (
        f".s{number}{{fill:hsl({hue} 80% 92%)}}"
        f"@media(prefers-color-scheme:dark){{.s{number}{{fill:hsl({hue} 45% 20%)}}}}"
    )


def _line(line: Line) -> Iterator[str]:
    """Curves between the layers, straight through them; the head of an arrow at the end."""
    (x, y), rest = line.points[0], line.points[1:]
    path = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        if to_x == x:
            path.append(f"V{to_y:.1f}")
        else:
            half = LAYER_GAP / 2
            path.append(
                f"C{x:.1f} {y + half:.1f} {to_x:.1f} {to_y - half:.1f} {to_x:.1f} {to_y:.1f}"
            )
        x, y = to_x, to_y
    kind = "" if line.is_good else " no"
    yield f'<path class="line{kind}" d="{"".join(path)}"/>'
    yield f'<path class="head{kind}" d="M{x:.1f} {y:.1f}l-4 -8h8z"/>'


def _box(box: Box, place: Place, number: int) -> Iterator[str]:
    middle, foot = place.x + place.width / 2, place.y + HEIGHT - LINE_HEIGHT - 4
    yield (
        f'<rect class="box s{number}" x="{place.x:.1f}" y="{place.y:.1f}"'
        f' width="{place.width:.1f}" height="{HEIGHT:.1f}" rx="6"/>'
    )
    yield f'<text x="{middle:.1f}" y="{place.y + 16:.1f}">{escape(box.who)}</text>'
    yield f'<text class="what" x="{middle:.1f}" y="{place.y + 33:.1f}">{escape(box.what)}</text>'
    for outcome, cell in zip(box.outcomes, place.cells, strict=True):
        yield f'<path class="cell" d="M{cell.x:.1f} {foot:.1f}h{cell.width:.1f}"/>'
        if cell.x > place.x:
            yield f'<path class="cell" d="M{cell.x:.1f} {foot:.1f}V{place.y + HEIGHT:.1f}"/>'
        at = f'x="{cell.x + cell.width / 2:.1f}" y="{foot + 16:.1f}"'
        yield f"<text {at}>{escape(outcome.text)}</text>"


def _end(box: Box, place: Place) -> Iterator[str]:
    yield (
        f'<rect class="end" x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}"'
        f' height="{LINE_HEIGHT + 10:.1f}" rx="15"/>'
    )
    middle = place.x + place.width / 2
    yield f'<text class="what" x="{middle:.1f}" y="{place.y + 19:.1f}">{escape(box.what)}</text>'
