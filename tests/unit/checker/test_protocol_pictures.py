"""The flowcharts have all that a protocol has, and those of the documents show what is wired."""

import pytest

from checker.protocol.description import Reaction
from checker.protocol.pictures import boxes_of, flowchart_as_mermaid, flowchart_as_text
from checker.protocol.wired import PROTOCOLS
from contracts.catalogue import SAGAS
from contracts.saga import Direction
from tests.architecture.tree import ROOT
from tests.unit.checker.trip import conducted, trip

RING = Reaction("flight.off", "hotels", Direction.UNDO, "hotel", "hotel.off")
DRAWN = {
    **{
        f"{name}, {pattern}": make(saga=saga)
        for name, saga in SAGAS.items()
        for pattern, make in PROTOCOLS.items()
    },
    "trip": trip(),
    "conducted trip": conducted(),
    "a circle": trip(but={"flight.off": RING}),
}


@pytest.mark.parametrize("protocol", DRAWN.values(), ids=DRAWN)
def test_flowchart_has_every_box_and_a_line_for_every_outcome_that_leads_on(protocol):
    boxes, drawn, told = (
        boxes_of(protocol),
        flowchart_as_mermaid(protocol),
        flowchart_as_text(protocol),
    )
    leading = sum(len(outcome.to) for box in boxes for outcome in box.outcomes)
    assert drawn.count("->|") == told.count(" -> ") == leading
    assert [box.name for box in boxes if box.what not in drawn or box.what not in told] == []


def test_refusals_are_drawn_apart():
    text = flowchart_as_mermaid(DRAWN["trip"])
    assert "-.->|hotel.refused|" in text
    assert "-->|hotel.booked|" in text


@pytest.mark.parametrize("pattern", ["orchestrated", "choreographed"])
def test_flowcharts_of_the_documents_are_current(pattern):
    assert (
        flowchart_as_mermaid(DRAWN[f"checkout, {pattern}"])
        in (ROOT / "docs" / "patterns.md").read_text()
    ), f"put what `manage.py sagas graph --pattern {pattern}` prints there"
