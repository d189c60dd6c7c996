"""The protocols of the catalogue are read from the registrations, so a change there is noticed."""

import json

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

import inventario.operations
from catalogue import SAGAS
from checker.protocol import checking, wired
from checker.protocol.wired import catalogue
from contracts import projection
from contracts.patterns import PATTERNS
from contracts.saga import Direction
from messaging.handlers import EventHandler
from participant import operations

CHECKOUT = SAGAS["checkout"]
every_saga = pytest.mark.parametrize("saga", SAGAS.values(), ids=SAGAS)


@pytest.fixture
def rewire(monkeypatch):
    def rewire(service, *, without, plus=()):
        """The service does not react to the event `without` of the checkout, and has the reactions
        `plus`.
        """
        config = apps.get_app_config(service)
        kept = [
            reaction
            for reaction in config.reactions()
            if (reaction.saga, reaction.on) != ("checkout", without)
        ]
        monkeypatch.setattr(config, "reactions", lambda: [*kept, *plus])

    return rewire


def breaches(pattern):
    return checking.check(protocols=[wired.PROTOCOLS[pattern](saga=CHECKOUT)]).breaches


@every_saga
def test_no_saga_breaks_a_rule(saga):
    report = checking.check(protocols=wired.protocols(saga=saga))
    assert report.is_clean, report.as_text()
    assert all("same" in {rule.name for rule in checked.proven} for checked in report.checked[2:])


@every_saga
def test_every_registration_is_checked(saga):
    protocol = wired.choreographed(saga=saga)
    assert len(protocol.reactions) == len(projection.reactions(saga.name))
    assert protocol.declared == protocol.watched
    assert set(protocol.asked) == {saga.steps[0].done, saga.abort, saga.give_back}
    called = {(call.direction, call.step) for call in wired.orchestrated(saga=saga).calls}
    assert called == {(call.direction, call.step.name) for call in projection.calls(saga.name)}
    assert set(wired.PROTOCOLS) == set(PATTERNS)


def test_removed_reaction_is_noticed(rewire):
    rewire("pagos", without="order.cancelled")
    (breach,) = breaches("choreographed")
    assert (breach.rule, breach.where) == ("received", "order.cancelled")
    assert "carrito publishes order.cancelled, and no service reacts to it" in breach.what
    assert "observing does not count as handling" in breach.what


def test_event_that_the_watchdog_does_not_receive_is_noticed(rewire):
    rewire("saga_choreography", without="checkout.initiated")
    (breach,) = breaches("choreographed")
    assert (breach.rule, breach.where) == ("watched", "checkout.initiated")


def test_wrong_route_is_noticed(monkeypatch):
    view = wired._view("inventario", "/steps/inventario.commit").view_class
    monkeypatch.setattr(view, "operation", inventario.operations.reserve)
    (breach,) = breaches("orchestrated")
    assert breach.rule == "owner"
    assert "asks for do commit_inventory, inventario does do inventario.reserve" in breach.what


def test_route_that_is_gone_is_noticed(monkeypatch):
    view = wired._view("inventario", "/steps/inventario.commit").view_class
    monkeypatch.delattr(view, "operation")
    (breach,) = breaches("orchestrated")
    assert breach.rule == "answered"


def test_request_without_an_answer_is_noticed(rewire):
    rewire("pagos", without="payment.refund")
    unanswered, replies = breaches("orchestrated_messaging")
    assert (unanswered.rule, unanswered.where) == ("answered", "payment.refund")
    assert "saga_orchestrator waits for payment.refund.replied" in replies.what


def test_reply_that_the_orchestrator_does_not_receive_is_noticed(rewire):
    rewire("saga_orchestrator", without="payment.process.replied")
    (breach,) = breaches("orchestrated_messaging")
    assert breach.rule == "replies"
    assert (
        "payment.process.replied is published, and saga_orchestrator does not consume"
        in breach.what
    )


def test_missing_operation_is_reported_and_ends_no_check(monkeypatch):
    """As if a definition misspelt it: the service's worker would not start."""
    monkeypatch.delattr(inventario.operations, "commit")
    importlib_error = LookupError("a page wants do inventario.commit")

    def worker_components(broker):
        raise importlib_error

    monkeypatch.setattr(apps.get_app_config("inventario"), "worker_components", worker_components)
    report = checking.check(protocols=wired.protocols(saga=CHECKOUT))
    assert {breach.rule for breach in report.breaches} == {"declared", "services"}
    assert "inventario/operations.py does not declare do inventario.commit" in report.as_text()
    assert "worker can't be made: a page wants do inventario.commit" in report.as_text()
    assert report.checked[1].unchecked


def test_command_ends_well(capsys):
    assert _run("check") == 0
    assert "Everything holds" in capsys.readouterr().out


def test_command_prints_what_was_proven_as_json(capsys):
    assert _run("check", "--json", "--saga", "checkout") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["is_clean"]
    names = [protocol["protocol"] for protocol in report["protocols"]]
    assert names == [
        "checkout, its definition",
        *(f"checkout, {pattern}" for pattern in wired.PROTOCOLS),
    ]
    assert "same" in report["protocols"][-1]["proven"]


def test_command_checks_a_saga_of_another_business(capsys):
    assert _run("check", "--protocols", "tests.unit.checker.trip.protocols") == 0
    assert "orchestrated trip: 5 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocols", "my_trips.protocols"], "--protocols: No module named 'my_trips'"),
        (["--saga", "trip"], "--saga: there are booking, checkout"),
    ],
)
def test_command_reports_that_there_is_nothing_to_check(arguments, message):
    with pytest.raises(CommandError, match=message) as ended:
        call_command("sagas", "check", *arguments)
    assert ended.value.returncode == 2


def test_command_ends_with_an_error_after_a_breach(rewire, capsys):
    step = CHECKOUT.step("reserve_inventory")
    row = projection.ReactionRow(
        "checkout", CHECKOUT.abort, Direction.UNDO, step, emits=step.undone
    )
    undo = operations.all_in(inventario.operations)["reserve", Direction.UNDO]
    rewire("inventario", without=CHECKOUT.abort, plus=[EventHandler(row=row, operation=undo)])
    assert _run("check") == 1
    output = capsys.readouterr().out
    assert "BREACHED  decider" in output
    assert "to fix: let one service decide" in output


def test_every_saga_is_checked_in_every_pattern():
    assert {protocol.saga.name for protocol in catalogue()} == set(SAGAS)
    assert len(catalogue()) == len(SAGAS) * (1 + len(PATTERNS))


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("sagas", *arguments)
    return ended.value.code
