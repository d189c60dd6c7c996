"""The tables of `sagas show` have all that is derived from a definition, and fit a terminal; the
flowcharts show a whole protocol, and those of the documents are current.
"""

import pytest
from django.core.management import call_command
from msgspec.structs import replace

from catalogue import SAGAS
from checker.protocol import pictures, showing
from checker.protocol.description import DescribedReaction
from checker.protocol.pictures import boxes_of, flowchart_as_mermaid, flowchart_as_text
from checker.protocol.wired import PROTOCOLS
from contracts import projection
from contracts.saga import Direction
from tests.architecture.tree import ROOT
from tests.unit.checker.trip import orchestrated, trip

RING = DescribedReaction("flight.off", "hotels", Direction.UNDO, "hotel", "hotel.off")
DRAWN = {
    **{
        f"{name}, {pattern}": make(saga=saga)
        for name, saga in SAGAS.items()
        for pattern, make in PROTOCOLS.items()
    },
    "trip": trip(),
    "orchestrated trip": orchestrated(),
    "a circle": trip(but={"flight.off": RING}),
}
every_saga = pytest.mark.parametrize("saga", SAGAS.values(), ids=SAGAS)


@every_saga
def test_tables_fit_a_terminal(saga):
    assert max(map(len, showing.as_text(saga=saga).splitlines())) <= showing.WIDTH


def test_cells_that_are_too_wide_are_wrapped():
    saga = SAGAS["checkout"]
    first = replace(saga.steps[0], done="a." * 120)
    text = showing.as_text(saga=replace(saga, steps=(first, *saga.steps[1:])))
    assert max(map(len, text.splitlines())) <= showing.WIDTH


@every_saga
def test_all_that_follows_from_the_definition_is_shown(saga):
    shown = showing.as_text(saga=saga)
    wanted = {
        *(step.name for step in saga.steps),
        *(step.operation for step in saga.steps),
        *projection.events(saga.name),
        *(call.request for call in projection.calls(saga.name)),
        *(projection.path_of(call.step, call.direction) for call in projection.calls(saga.name)),
        *projection.data_type(saga.name).__struct_fields__,
    }
    assert {text for text in wanted if text not in shown} == set()


@every_saga
def test_automaton_has_every_reaction_and_its_outcomes(saga):
    transfers = {(transfer.event, transfer.emits) for transfer in pictures.transfers(saga=saga)}
    assert transfers == {
        (row.event, emitted)
        for row in projection.reactions(saga.name)
        for emitted in (row.emits, row.emits_on_refusal)
        if emitted
    }


@every_saga
def test_every_refusal_leads_from_ok_to_error_and_nothing_leads_back(saga):
    refusals = {step.refused for step in saga.steps if step.refused}
    transfers = list(pictures.transfers(saga=saga))
    assert {
        transfer.emits for transfer in transfers if (transfer.state, transfer.to) == ("ok", "error")
    } == {
        *refusals,
        saga.steps[saga.pivot].undone,  # a return
    }
    assert not [
        transfer for transfer in transfers if (transfer.state, transfer.to) == ("error", "ok")
    ]
    ends = {(transfer.state, transfer.emits) for transfer in transfers if transfer.to == "end"}
    assert ends == {("ok", saga.steps[-1].done), ("error", saga.steps[0].undone)}


def test_automaton_is_drawn(capsys):
    saga = SAGAS["checkout"]
    assert run("graph", "--automaton") == 0
    drawn = capsys.readouterr().out
    assert drawn.startswith("stateDiagram-v2\n    [*] --> ok : checkout.initiated\n")
    assert drawn.count("-->") == 1 + len(list(pictures.transfers(saga=saga)))
    assert run("graph", "--automaton", "--format", "text") == 0
    output = capsys.readouterr().out
    assert "  on inventory.reserved: pagos does process_payment\n" in output
    assert "      payment.failed -> error\n" in output


@pytest.mark.parametrize("protocol", DRAWN.values(), ids=DRAWN)
def test_flowchart_has_every_box_and_a_line_for_every_outcome_that_leads_on(protocol):
    boxes, drawn, text = (
        boxes_of(protocol),
        flowchart_as_mermaid(protocol),
        flowchart_as_text(protocol),
    )
    leading = sum(len(outcome.to) for box in boxes for outcome in box.outcomes)
    assert drawn.count("->|") == text.count(" -> ") == leading
    assert [box.name for box in boxes if box.what not in drawn or box.what not in text] == []


def test_refusals_are_drawn_apart():
    text = flowchart_as_mermaid(DRAWN["trip"])
    assert "-.->|hotel.refused|" in text
    assert "-->|hotel.booked|" in text


@pytest.mark.parametrize("pattern", ["orchestrated", "choreographed"])
def test_flowcharts_of_the_documents_are_current(pattern):
    assert (
        flowchart_as_mermaid(DRAWN[f"checkout, {pattern}"])
        in (ROOT / "docs" / "explanation" / "patterns.md").read_text()
    ), f"put what `manage.py sagas graph --pattern {pattern}` prints there"


def test_command_shows_a_saga(capsys):
    assert run("show", "checkout") == 0
    assert "checkout: carrito accepts it at POST /checkout/saga" in capsys.readouterr().out


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("sagas", *arguments)
    return ended.value.code
