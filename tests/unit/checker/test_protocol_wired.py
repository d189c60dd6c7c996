"""The shop's own protocols are read from what is registered, so a changed table is noticed."""

import json

import pytest
from django.core.management import CommandError, call_command

import inventario.reactions
import inventario.views
import pagos.reactions
import saga_orchestrator.reactions as conductor
from checker.protocol import checking, wired
from checker.protocol.commands import PROTOCOLS
from contracts import events, requests, sagas
from contracts.sagas import CHECKOUT
from inventario import operations
from messaging.reactions import on
from saga_choreography.reactions import REACTIONS as TRACKING
from sagas.operations import Kind


def test_shop_breaks_no_rule():
    report = checking.check(protocols=[make() for make in PROTOCOLS.values()])
    assert report.is_clean, report.as_text()
    assert all("same" in {rule.name for rule in one.proven} for one in report.checked[1:])


def test_all_that_is_registered_is_looked_at():
    protocol = wired.choreographed()
    assert len(protocol.reactions) == 15
    assert protocol.declared == protocol.watched | set(protocol.notices)
    assert set(protocol.asked) == {
        events.CHECKOUT_INITIATED,
        events.CHECKOUT_ABORT_REQUESTED,
        events.CHECKOUT_RETURN_REQUESTED,
    }


def test_every_step_but_the_acceptance_is_called():
    calls = {(one.kind, one.step) for one in wired.orchestrated().calls}
    assert {step for kind, step in calls if kind is Kind.DO} == {
        step.name for step in CHECKOUT.steps[1:]
    }
    assert (Kind.UNDO, sagas.ACCEPT) in calls
    assert (Kind.BLOCK, sagas.COMMIT) in calls


def test_removed_reaction_is_noticed(monkeypatch):
    rest = [one for one in pagos.reactions.REACTIONS if one.hears != events.ORDER_CANCELLED]
    monkeypatch.setattr(pagos.reactions, "REACTIONS", rest)
    (breach,) = checking.check(protocols=[wired.choreographed()]).breaches
    assert (breach.rule, breach.where) == ("heard", events.ORDER_CANCELLED)
    assert "carrito says order.cancelled, and nobody reacts to it" in breach.what


def test_reaction_that_is_only_tracking_is_no_hearing(monkeypatch):
    rest = [one for one in inventario.reactions.REACTIONS if one.hears != events.PAYMENT_FAILED]
    monkeypatch.setattr(inventario.reactions, "REACTIONS", [*rest])
    assert events.PAYMENT_FAILED in {one.hears for one in TRACKING}
    (breach,) = checking.check(protocols=[wired.choreographed()]).breaches
    assert "watching is not hearing" in breach.what


def test_wrong_route_is_noticed(monkeypatch):
    monkeypatch.setattr(inventario.views.CommitView, "operation", operations.reserve)
    (breach,) = checking.check(protocols=[wired.orchestrated()]).breaches
    assert breach.rule == "owner"
    assert "asks for do commit_inventory, inventario does do reserve_inventory" in breach.what


def test_route_that_is_gone_is_noticed(monkeypatch):
    monkeypatch.delattr(inventario.views.CommitView, "operation")
    (breach,) = checking.check(protocols=[wired.orchestrated()]).breaches
    assert breach.rule == "heard"


def test_request_that_nobody_answers_is_noticed(monkeypatch):
    rest = [one for one in pagos.reactions.REACTIONS if one.hears != requests.PAYMENT_REFUND]
    monkeypatch.setattr(pagos.reactions, "REACTIONS", rest)
    heard, replies = checking.check(protocols=[wired.orchestrated_messaging()]).breaches
    assert (heard.rule, heard.where) == ("heard", requests.PAYMENT_REFUND)
    assert "saga_orchestrator waits for payment.refund.replied" in replies.what


def test_reply_that_the_conductor_does_not_hear_is_noticed(monkeypatch):
    rest = [one for one in conductor.REACTIONS if one.hears != "payment.replied"]
    monkeypatch.setattr(conductor, "REACTIONS", rest)
    (breach,) = checking.check(protocols=[wired.orchestrated_messaging()]).breaches
    assert breach.rule == "replies"
    assert "payment.replied is said, and saga_orchestrator does not hear it" in breach.what


def test_command_ends_well(capsys):
    assert _run("check") == 0
    assert "Everything holds" in capsys.readouterr().out


def test_command_tells_programs_what_was_proven(capsys):
    assert _run("check", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_clean"]
    assert [one["protocol"] for one in told["protocols"]] == list(PROTOCOLS)
    assert "same" in told["protocols"][-1]["proven"]


def test_command_checks_a_saga_of_somebody_elses(capsys):
    assert _run("check", "--protocols", "tests.unit.checker.trip.protocols") == 0
    assert "conducted trip: 5 steps" in capsys.readouterr().out


def test_command_says_where_there_are_no_protocols():
    with pytest.raises(CommandError, match="--protocols: No module named 'my_trips'") as ended:
        call_command("sagas", "check", "--protocols", "my_trips.protocols")
    assert ended.value.returncode == 2


def test_command_ends_with_an_error_after_a_breach(monkeypatch, capsys):
    changed = [
        one
        for one in inventario.reactions.REACTIONS
        if one.hears != events.CHECKOUT_ABORT_REQUESTED
    ] + on(
        events.CHECKOUT_ABORT_REQUESTED, do=operations.unreserve, says=events.INVENTORY_UNRESERVED
    )
    monkeypatch.setattr(inventario.reactions, "REACTIONS", changed)
    assert _run("check") == 1
    said = capsys.readouterr().out
    assert "BREACHED  decider" in said
    assert "to mend: let one service decide" in said


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("sagas", *arguments)
    return ended.value.code
