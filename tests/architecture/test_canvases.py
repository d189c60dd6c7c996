"""The services register what the sagas' definitions require, and the canvas at the top of each
service is true.
"""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps

from catalogue import SAGAS
from catalogue.services import COORDINATORS, PARTICIPANTS, WITH_WORKER
from contracts import projection
from messaging.handlers import CommandHandler, EventHandler, Reaction
from messaging.reactions import RedriveHandler, SkipHandler
from tests.architecture.tree import SERVICES, modules, name_of

HEADINGS = (
    *("Owns", "Offers", "Accepts", "Sagas", "Calls", "Asks", "Reacts to", "Answers"),
    "Publishes",
)
NAMED = ("Reacts to", "Answers", "Publishes")
"""The headings whose lines name events."""

DEFINITIONS = ("catalogue/", "loadtests/audit/sagas.py")
"""Where a saga may be named, beside documents and tests."""
ONLY_DEFINED = "shipment"
"""A saga of existing services: no other code names it."""


@pytest.mark.parametrize("service", PARTICIPANTS)
def test_service_reacts_and_answers_as_the_definitions_say(service: str) -> None:
    registered = _reactions(service)
    reacting = [reaction for reaction in registered if isinstance(reaction, EventHandler)]
    answering = [reaction for reaction in registered if isinstance(reaction, CommandHandler)]
    assert [reaction.row for reaction in reacting] == list(projection.of_service(service))
    assert [reaction.row for reaction in answering] == list(projection.asked_of(service))
    others = [reaction for reaction in registered if reaction not in [*reacting, *answering]]
    sagas = [name for name, saga in SAGAS.items() if service in projection.services_of(saga)]
    appeals = [(saga, kind) for saga in sagas for kind in (RedriveHandler, SkipHandler)]
    assert [(reaction.saga, type(reaction)) for reaction in others] == appeals, (
        "and nothing beside them"
    )
    for reaction in reacting:
        _check_operation(reaction, reaction.row.step.operation, reaction.row.direction)
    for reaction in answering:
        _check_operation(reaction, reaction.row.step.operation, reaction.row.direction)


@pytest.mark.parametrize("service", COORDINATORS)
def test_coordinator_reacts_to_no_event_of_a_participants_own(service: str) -> None:
    """It has no step: no event makes it do business."""
    assert not [
        reaction
        for reaction in _reactions(service)
        if isinstance(reaction, EventHandler | CommandHandler)
    ]
    assert not list(projection.of_service(service))


@pytest.mark.parametrize("service", SERVICES)
def test_canvas_has_its_headings(service: str) -> None:
    headings = _canvas(service)
    assert {"Owns", "Offers"} <= set(headings)
    if service in WITH_WORKER:
        assert "Sagas" in headings or {"Reacts to", "Publishes"} <= set(headings), (
            "its part in the sagas"
        )
    assert all(headings.values()), "a heading without anything behind it"


@pytest.mark.parametrize("service", PARTICIPANTS)
def test_events_that_a_canvas_names_are_those_of_its_sagas(service: str) -> None:
    rows = list(projection.of_service(service))
    published = {name for row in rows for name in (row.emits, row.emits_on_refusal) if name}
    published |= {saga.steps[0].done for saga in SAGAS.values() if saga.owner == service}
    real = {
        "Reacts to": {row.event for row in rows},
        "Answers": {call.request for call in projection.asked_of(service)},
        "Publishes": published,
    }
    named = {
        heading: _events(text) for heading, text in _canvas(service).items() if heading in NAMED
    }
    assert {heading: sorted(events) for heading, events in named.items()} == {
        heading: sorted(real[heading]) for heading in named
    }


@pytest.mark.parametrize("service", COORDINATORS)
def test_events_that_a_coordinators_canvas_names_are_of_some_saga(service: str) -> None:
    known = {event for saga in SAGAS for event in projection.events(saga)}
    known |= {projection.STEP_PARKED}
    named = {event for heading in NAMED for event in _events(_canvas(service).get(heading, ""))}
    assert named <= known


def test_saga_of_existing_services_is_a_definition_and_nothing_else() -> None:
    """Its steps use other sagas' operations; its name is in no code but its definition, its audit
    rule, and its owner.
    """
    saga = SAGAS[ONLY_DEFINED]
    others = {
        step.operation for name in SAGAS if name != ONLY_DEFINED for step in SAGAS[name].steps
    }
    assert {step.operation for step in saga.steps} <= others
    words = re.compile(rf"\b{ONLY_DEFINED}\b", re.IGNORECASE)
    knowing = {
        name_of(path)
        for path in modules()
        if words.search(_code(path))
        if not name_of(path).startswith((*DEFINITIONS, f"{saga.owner}/"))
    }
    assert not knowing


@pytest.mark.parametrize("name", SAGAS)
def test_no_code_of_the_shop_names_a_step_or_an_event_of_a_saga(name: str) -> None:
    """Only its definition, its participants and the load tests name them."""
    saga = SAGAS[name]
    allowed = (*DEFINITIONS, *(f"{service}/" for service in projection.services_of(saga)))
    names = {*(step.name for step in saga.steps), *projection.events(name)}
    words = re.compile("|".join(rf"[\"']{re.escape(name)}[\"']" for name in sorted(names)))
    shop = ("messaging", "participant", "httpapi", "coordination", *COORDINATORS, "stack", "config")
    strings = {
        f"{name_of(path)}: {match[0]}"
        for path in modules(*shop)
        if not name_of(path).startswith(allowed)
        for match in words.finditer(_code(path))
    }
    assert not strings


def _code(path: Path) -> str:
    """The code without comments and docstrings, which may use the saga as an example."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            kept = [statement for statement in node.body if not _is_text(statement)]
            node.body = kept or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _check_operation(reaction: EventHandler | CommandHandler, name: str, direction: object) -> None:
    operation = reaction.operation
    assert (f"{operation.service}.{operation.action}", operation.direction) == (name, direction)


def _canvas(service: str) -> dict[str, str]:
    """The text of each heading of a service's docstring."""
    text = import_module(service).__doc__ or ""
    heading = rf"^({'|'.join(HEADINGS)})\s"
    pieces = re.split(heading, text, flags=re.MULTILINE)[1:]
    return {
        heading: body.partition("\n\n")[0].strip()
        for heading, body in zip(pieces[::2], pieces[1::2], strict=True)
    }


def _events(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+(?:\.[a-z]+)+", text))


def _reactions(service: str) -> list[Reaction]:
    reactions: list[Reaction] = apps.get_app_config(service).reactions()
    return reactions
