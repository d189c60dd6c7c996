"""Each rule holds for a right protocol, and finds a wrong one."""

import pytest
from msgspec.structs import replace

from checker.protocol import checking, journeys, paths, wiring
from checker.protocol.description import DescribedReaction, Ending, Notice
from contracts.saga import Direction
from coordination import engine
from coordination.engine import Fault
from tests.unit.checker.trip import (
    ASK,
    CHARGE,
    FLIGHT,
    HOTEL,
    TICKET,
    orchestrated,
    trip,
)

DECLARED_RING = frozenset({"flight.off", "hotel.off"})
RING = {
    "flight.off": DescribedReaction("flight.off", "hotels", Direction.UNDO, "hotel", "hotel.off")
}
TO_FLIGHT = DescribedReaction("charge.refused", "flights", Direction.UNDO, "flight", "flight.off")

BROKEN = {
    "a step that nothing undoes": (
        trip(steps=[ASK, FLIGHT, replace(HOTEL, undone=""), CHARGE, TICKET]),
        {"shape"},
        "hotel is compensable, and nothing undoes it",
    ),
    "a step that can be undone after the pivot": (
        trip(steps=[ASK, FLIGHT, CHARGE, HOTEL, TICKET]),
        {"shape"},
        "hotel (compensable) comes after charge",
    ),
    "two pivots": (
        trip(
            steps=[
                ASK,
                FLIGHT,
                replace(CHARGE, name="hotel", operation="hotels.hotel"),
                CHARGE,
                TICKET,
            ]
        ),
        {"shape", "decider"},
        "two pivots",
    ),
    "an event that no service publishes": (
        trip(declared={"trip.lost"}),
        {"published"},
        "no service publishes trip.lost",
    ),
    "an event that no service consumes": (
        trip(but={"charge.refused": None}),
        {"received"},
        "bank publishes charge.refused, and no service reacts",
    ),
    "an event that is only watched": (
        trip(
            but={"charge.refused": None},
            watched={
                *("trip.asked", "stop.asked", "back.asked", "trip.done", "trip.off"),
                *("flight.booked", "flight.refused", "flight.off", "charge.done"),
                *("hotel.booked", "hotel.refused", "hotel.off", "charge.refused", "charge.back"),
            },
        ),
        {"received"},
        "observing does not count as handling",
    ),
    "a notice without a consumer": (
        trip(notices={"flight.lost": Notice(("flights",), ())}),
        {"received"},
        "flights publishes flight.lost, and no service reacts",
    ),
    "a notice without a publisher": (
        trip(notices={"flight.lost": Notice((), ("website",))}),
        {"published"},
        "no service publishes flight.lost",
    ),
    "an end that goes on": (
        trip(plus=[DescribedReaction("trip.done", "website", Direction.UNDO, "ask", "trip.off")]),
        {"received"},
        "trip.done is declared as an end",
    ),
    "another's step": (
        trip(
            but={
                "flight.booked": DescribedReaction(
                    "flight.booked",
                    "flights",
                    Direction.DO,
                    "hotel",
                    "hotel.booked",
                    "hotel.refused",
                )
            }
        ),
        {"owner"},
        "that step is hotels's",
    ),
    "a step that is not there": (
        trip(plus=[DescribedReaction("stop.asked", "hotels", Direction.DO, "dinner")]),
        {"owner", "answered", "decider"},
        "the saga has no such step",
    ),
    "a refusal that publishes nothing": (
        trip(
            but={
                "flight.booked": DescribedReaction(
                    "flight.booked", "hotels", Direction.DO, "hotel", "hotel.booked"
                ),
                "hotel.refused": None,
            }
        ),
        {"answered"},
        "may be refused, and then publishes nothing",
    ),
    "an event for two outcomes": (
        trip(
            but={
                "trip.asked": DescribedReaction(
                    "trip.asked", "flights", Direction.DO, "flight", "flight.booked", "flight.off"
                ),
                "flight.refused": None,
            }
        ),
        {"meaning"},
        "flight.off may mean that flight is refused or that undoing flight is done",
    ),
    "two services that carry it on": (
        trip(
            plus=[
                DescribedReaction(
                    "flight.booked", "bank", Direction.DO, "charge", "charge.done", "charge.refused"
                )
            ]
        ),
        {"decider"},
        "after flight.booked both hotels",
    ),
    "an abort that does not ask the pivot": (
        trip(
            but={
                "stop.asked": DescribedReaction(
                    "stop.asked", "hotels", Direction.UNDO, "hotel", "hotel.off"
                )
            }
        ),
        {"decider"},
        "decided without the barrier of charge",
    ),
    "a circle": (trip(but=RING), {"cycle"}, "flight.off > hotel.off > flight.off"),
    "an event that the watcher does not consume": (
        trip(watched={"trip.asked"}),
        {"watched"},
        "bank publishes charge.done, and the watcher does not consume it",
    ),
    "the list in another order": (
        trip(steps=[ASK, HOTEL, FLIGHT, CHARGE, TICKET]),
        {"forward"},
        "it does ask, flight, hotel, charge, ticket",
    ),
    "an end that says the contrary": (
        trip(ends={"trip.done": Ending.COMPLETED, "trip.off": Ending.COMPLETED}),
        {"ends"},
        "it ends completed, and should end undone",
    ),
    "a declared circle without a way out": (
        trip(but=RING, cycles=[DECLARED_RING]),
        {"ends", "undone"},
        "it never ends",
    ),
    "a step that is passed over backward": (
        trip(but={"charge.refused": TO_FLIGHT}),
        {"undone"},
        "hotel had happened, and nothing undoes it",
    ),
    "undos forward": (
        trip(
            but={"charge.refused": TO_FLIGHT._replace(emits="flight.off.first")},
            plus=[
                DescribedReaction(
                    "flight.off.first", "hotels", Direction.UNDO, "hotel", "hotel.off.last"
                ),
                DescribedReaction("hotel.off.last", "website", Direction.UNDO, "ask", "trip.off"),
            ],
        ),
        {"reverse"},
        "it undoes flight, hotel, ask, which happened as ask, flight, hotel",
    ),
    "a step on the way back": (
        trip(
            but={
                "flight.off": DescribedReaction(
                    "flight.off", "flights", Direction.DO, "ticket", "ticket.sent"
                )
            },
            plus=[DescribedReaction("ticket.sent", "website", Direction.UNDO, "ask", "trip.off")],
        ),
        {"one way", "undone"},
        "ticket happens after undoing has begun",
    ),
    "an abort that forgets a step": (
        trip(
            but={
                "stop.asked": DescribedReaction(
                    "stop.asked", "bank", Direction.BLOCK, "charge", "", "stopped"
                )
            },
            plus=[DescribedReaction("stopped", "flights", Direction.UNDO, "flight", "flight.off")],
        ),
        {"turned back"},
        "hotel is not undone",
    ),
    "a return that forgets a step": (
        trip(but={"charge.back": TO_FLIGHT._replace(on="charge.back")}),
        {"given back"},
        "it undoes charge, flight, ask; the list has charge, hotel, flight, ask",
    ),
    "a call that is missing": (
        orchestrated(calls=orchestrated().calls[1:]),
        {"called"},
        "agency has no call for undo ask",
    ),
    "a call without an answer": (
        orchestrated(reactions=orchestrated().reactions[1:]),
        {"answered"},
        "/steps/website.ask/undo: no handler at website answers it",
    ),
    "a call that two answer": (
        orchestrated(reactions=[*orchestrated().reactions, orchestrated().reactions[0]]),
        {"answered"},
        "/steps/website.ask/undo: 2 handlers at website answer it",
    ),
    "a call that another service answers": (
        orchestrated(
            reactions=[
                *orchestrated().reactions,
                DescribedReaction(
                    "/steps/hotels.hotel", "flights", Direction.DO, "hotel", "done", "refused"
                ),
            ]
        ),
        {"answered"},
        "/steps/hotels.hotel: flights answers it too; it is for hotels",
    ),
    "a call of the wrong step": (
        orchestrated(
            reactions=[
                reaction._replace(direction=Direction.DO) for reaction in orchestrated().reactions
            ]
        ),
        {"owner"},
        "/steps/website.ask/undo asks for undo ask, website does do ask",
    ),
    "a reply that the orchestrator does not consume": (
        orchestrated(replies={"done"}),
        {"replies"},
        "refused is published, and agency does not consume it",
    ),
    "a reply without a publisher": (
        orchestrated(replies={"done", "refused", "maybe"}),
        {"replies"},
        "agency waits for maybe, and no service publishes it",
    ),
}
"""By what is wrong: the protocol, the rules that must find it (and no other), their message."""


@pytest.mark.parametrize("protocol", [trip(), orchestrated()], ids=lambda protocol: protocol.name)
def test_right_protocol_breaks_no_rule(protocol):
    report = checking.check(protocols=[protocol])
    assert report.is_clean, report.as_text()
    assert not report.checked[0].unchecked


@pytest.mark.parametrize("wrong", BROKEN)
def test_wrong_protocol_breaks_its_rule_and_no_other(wrong):
    protocol, rules, message = BROKEN[wrong]
    report = checking.check(protocols=[protocol])
    assert {breach.rule for breach in report.breaches} == rules, report.as_text()
    assert message in report.as_text()


def test_difference_between_patterns_is_found():
    other = orchestrated(steps=[ASK, HOTEL, FLIGHT, CHARGE, TICKET])
    report = checking.check(protocols=[other, trip()])
    assert {breach.rule for breach in report.breaches} == {"same"}
    assert "orchestrated trip never does that" in report.as_text()


def test_patterns_with_the_same_effects_are_equal():
    report = checking.check(protocols=[orchestrated(), trip()])
    assert "same" in {rule.name for rule in report.checked[1].proven}


DECIDED = [
    ASK,
    FLIGHT,
    replace(HOTEL, decided_by="host", decide_seconds=900.0),
    replace(CHARGE, decided_by="guest", decide_seconds=900.0),
    TICKET,
]


def test_steps_that_people_decide_end_alike_in_every_pattern():
    report = checking.check(protocols=[orchestrated(steps=DECIDED), trip(steps=DECIDED)])
    assert report.is_clean, report.as_text()
    assert "same" in {rule.name for rule in report.checked[1].proven}


@pytest.mark.parametrize("protocol", [orchestrated(steps=DECIDED), trip(steps=DECIDED)])
def test_step_that_is_decided_after_its_withdrawal_is_found(protocol, monkeypatch):
    monkeypatch.setattr(journeys, "_withdrawn", lambda book, step, direction: book)
    report = checking.check(protocols=[protocol])
    assert {breach.rule for breach in report.breaches} <= {"turned back", "one way"}
    assert "is turned back at any moment" in report.as_text()


def test_orchestrator_that_does_not_receive_notices_of_waiting_is_found():
    deaf = orchestrated(notices={"step.waiting": Notice(("hotels",), ())})
    report = checking.check(protocols=[deaf])
    assert {breach.rule for breach in report.breaches} == {"replies"}
    assert "hotels publishes step.waiting, and agency does not consume it" in report.as_text()


def test_every_rule_is_broken_by_some_protocol():
    rules = (*wiring.PUBLISHED, wiring.WATCHED, *wiring.CALLED, wiring.REPLIES)
    names = {rule.name for rule in (*rules, *paths.ALONE, *paths.ASKED)}
    assert names - {"once"} == set().union(*(rules for _, rules, _ in BROKEN.values()))


def test_refusal_that_is_tried_again_is_noticed(monkeypatch):
    monkeypatch.setattr(
        engine,
        "_after_refusal",
        lambda progress, no: engine._after_fault(progress, Fault("no"), 0.5),
    )
    report = checking.check(protocols=[orchestrated()])
    assert "once" in {breach.rule for breach in report.breaches}
    assert "do hotel: 5 times" in report.as_text()


def test_rules_of_the_paths_wait_until_the_wiring_holds():
    checked = checking.check(protocols=[BROKEN["a circle"][0]]).checked[0]
    assert {rule.name for rule in checked.unchecked} == {
        rule.name for rule in (*paths.ALONE, *paths.ASKED)
    }
    assert "unchecked" in checked.as_text()


def test_breach_has_a_remedy():
    text = checking.check(protocols=[trip(but=RING)]).as_text()
    assert "to fix: break the cycle" in text
