"""`manage.py recover`: many parked sagas and failed messages at once, each recorded with why."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from coordination.management import operating
from messaging import failed
from messaging.brokers import Message
from saga_choreography.models import FailedMessage, Intervention, Saga
from saga_choreography.watchdog import look
from tests.unit.choreography.made import NOON

pytestmark = pytest.mark.django_db(databases=["default", "saga_choreography"])

WHY = ["--by", "eva", "--reason", "mended"]
STEP = "reserve_inventory"


@pytest.fixture
def parked(saga, settings, operator):
    """Three sagas whose reservation is not undone, and a running saga."""
    settings.REDRIVE_SECONDS = 10
    for saga_id in ("a", "b", "c"):
        saga("declined", until=3, saga_id=saga_id)
    for minute in range(8):
        look(now=NOON + timedelta(minutes=minute + 1))
    saga("completed", until=2, saga_id="runs")
    assert Saga.objects.filter(status="parked").count() == 3


def recover(*arguments: str) -> int:
    """The exit status."""
    with pytest.raises(SystemExit) as ended:
        call_command("recover", *arguments, *WHY)
    return int(ended.value.code or 0)


def sagas(*arguments: str) -> list[str]:
    return ["sagas", *arguments, "--pattern", "choreographed"]


def test_filtered_sagas_are_retried_singly_with_progress(parked, capsys, monkeypatch):
    monkeypatch.setattr(operating, "TELL_SECONDS", 0.0)
    Saga.objects.filter(pk="b").update(parked_step="process_payment")
    assert recover(*sagas("retry", "--step", STEP, "--older", "1m")) == 0
    shown = capsys.readouterr()
    assert "1 of 2: 1 on their way." in shown.err
    assert "2 on their way." in shown.out
    assert {
        (intervention.saga_id, intervention.action, intervention.step)
        for intervention in Intervention.objects.all()
    } == {
        ("a", "retry", STEP),
        ("c", "retry", STEP),
    }
    assert {
        (intervention.requested_by, intervention.reason)
        for intervention in Intervention.objects.all()
    } == {("eva", "mended")}


def test_skip_shows_how_many_and_how_much_before_it_does_anything(parked, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(CommandError, match=r"Skip 3 sagas \(3 at reserve_inventory\), 75.00 in"):
        call_command("recover", *sagas("skip", "--error", "card_declined"), *WHY)
    assert not Intervention.objects.exists()
    assert recover(*sagas("skip", "--error", "card_declined", "--yes")) == 0
    assert Intervention.objects.filter(action="skip", reason="mended").count() == 3


def test_refusals_are_counted_and_a_filter_without_matches_is_reported(parked, capsys, monkeypatch):
    call_command("recover", *sagas("retry", "--step", "no_such"), *WHY)
    assert "No sagas like this wait." in capsys.readouterr().out
    call_command("recover", *sagas("compensate", "--dry-run"), *WHY)
    assert capsys.readouterr().out.count("saga_choreography ") == 3
    # Each is being undone already: its undo is parked.
    assert recover(*sagas("compensate", "--yes")) == 1
    assert "0 on their way, 3 refused: 3 already_undone." in capsys.readouterr().out


def test_failed_messages_are_discarded_with_who_and_why(operator, capsys):
    for number, name in enumerate(["inventory.reserved", "payment.failed", "payment.failed"]):
        message = Message(str(number), name, b"{ not json")
        failed.dead_letter(service="saga_choreography", message=message, reason="odd")
    only = ["--service", "saga_choreography", "--type", "payment.failed", "--error", "odd"]
    assert recover("messages", "discard", *only, "--yes") == 0
    assert "2 discarded." in capsys.readouterr().out
    rows = {row.event_id: (row.status, row.reason) for row in FailedMessage.objects.all()}
    assert rows["0"] == ("dead_lettered", "odd")
    assert rows["1"] == rows["2"] == ("discarded", "odd\ndiscarded by eva: mended")
