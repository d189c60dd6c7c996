"""The pictures: nothing lies on anything else, and those of the documents show what is wired."""

import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import pytest

from checker.protocol import layout, mermaid, svg
from checker.protocol.commands import draw
from checker.protocol.description import Reaction
from checker.protocol.graph import graph_of
from checker.protocol.wired import PROTOCOLS
from contracts.catalogue import SAGAS
from contracts.saga import Direction
from tests.architecture.tree import ROOT
from tests.unit.checker.trip import conducted, trip

PICTURES = ROOT / "docs" / "pictures"
RING = Reaction("flight.off", "hotels", Direction.UNDO, "hotel", "hotel.off")
GRAPHS = {
    **{
        f"{name}, {pattern}": graph_of(make(saga=saga))
        for name, saga in SAGAS.items()
        for pattern, make in PROTOCOLS.items()
    },
    "trip": graph_of(trip()),
    "conducted trip": graph_of(conducted()),
    "a circle": graph_of(trip(but={"flight.off": RING})),
}
every_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)


@every_graph
def test_no_box_lies_on_another(graph):
    places = layout.lay_out(graph).places
    for one, other in combinations(places.values(), 2):
        assert one.y != other.y or one.x + one.width < other.x or other.x + other.width < one.x


@every_graph
def test_text_fits_into_its_cell(graph):
    places = layout.lay_out(graph).places
    for box in graph.boxes:
        for outcome, cell in zip(box.outcomes, places[box.name].cells, strict=True):
            assert len(outcome.text) * layout.CHARACTER < cell.width


@every_graph
def test_no_line_runs_through_a_box(graph):
    """Straight parts are where the boxes are; curves are between the layers."""
    laid = layout.lay_out(graph)
    for line in laid.lines:
        for (x, y), (to_x, to_y) in pairwise(line.points):
            if to_y - y == layout.HEIGHT:
                assert x == to_x
                beside = [one for one in laid.places.values() if one.y == y]
                assert all(x < one.x or x > one.x + one.width for one in beside)


@pytest.mark.parametrize(
    "graph", [GRAPHS["checkout, choreographed"], GRAPHS["trip"]], ids=["checkout", "trip"]
)
def test_every_line_leads_downward(graph):
    for line in layout.lay_out(graph).lines:
        assert all(y < to_y for (_, y), (_, to_y) in pairwise(line.points))


@every_graph
def test_svg_is_well_formed_and_has_every_text(graph):
    root = ET.fromstring(svg.draw(graph))  # noqa: S314 -- our own
    texts = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}
    for box in graph.boxes:
        assert {box.what, *(outcome.text for outcome in box.outcomes)} <= texts


@every_graph
def test_mermaid_has_a_line_for_every_outcome_that_leads_on(graph):
    text = mermaid.draw(graph)
    leading = sum(len(outcome.to) for box in graph.boxes for outcome in box.outcomes)
    assert text.count("->|") == leading


def test_refusals_are_drawn_apart():
    text = mermaid.draw(GRAPHS["trip"])
    assert "-.->|hotel.refused|" in text
    assert "-->|hotel.booked|" in text


@pytest.mark.parametrize("pattern", ["orchestrated", "choreographed"])
def test_pictures_of_the_documents_are_current(pattern):
    command = f"manage.py sagas graph --pattern {pattern} --format svg"
    file = PICTURES / f"{pattern}.svg"
    assert file.read_text() == draw(pattern=pattern, form="svg"), (
        f"run: .venv/bin/python {command} --output docs/pictures/{file.name}"
    )


def test_flowchart_of_the_documents_is_current():
    drawn = draw(pattern="choreographed", form="mermaid")
    assert drawn in (ROOT / "docs" / "patterns.md").read_text(), (
        "put what `.venv/bin/python manage.py sagas graph` prints into docs/patterns.md"
    )
