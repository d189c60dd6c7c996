"""The admin: a saga with its steps and events on one page, and its actions."""

import html
import re
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import transaction

import participant.admin
from messaging import failed
from messaging.brokers import Message
from saga_choreography import store
from saga_choreography.models import FailedMessage, Intervention, Saga, WorkerHeartbeat
from saga_choreography.store import SagaPhase
from saga_choreography.watchdog import look
from tests.threads import InThread
from tests.unit.choreography.made import NOON

pytestmark = pytest.mark.django_db(databases=["default", "saga_choreography"])

SAGAS = "/admin/saga_choreography/saga/"
REASON = "by hand"


@pytest.fixture
def viewer(client):
    """A person who may only view."""
    user = User.objects.create_user("vera", password="v", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


def ask(client, action: str, *saga_ids: str):
    """The page after an action is done, however many requests that takes."""
    data = {"action": action, "_selected_action": list(saga_ids), "reason": REASON}
    page = client.post(SAGAS, data, follow=True)
    while is_going_on(page):
        page = go_on(client, page)
    return page


def is_going_on(page) -> bool:
    return 'id="rest"' in page.content.decode()


def go_on(client, page):
    """Sends the next request of an unfinished action, as its page does by itself."""
    return client.post(SAGAS, dict(fields_of(page)), follow=True)


def fields_of(page) -> Iterator[tuple[str, list[str]]]:
    inputs = re.findall(r'name="(\w+)" value="([^"]*)"', page.content.decode())
    names = {name for name, _ in inputs} - {"csrfmiddlewaretoken"}
    for name in names:
        yield name, [html.unescape(value) for key, value in inputs if key == name]


def test_saga_is_shown_on_one_page_with_steps_and_events(admin_client, saga):
    saga("declined", until=4)
    page = admin_client.get(f"{SAGAS}s/change/").content.decode()
    assert "process_payment" in page
    assert "card_declined" in page
    assert "inventory.unreserved" in page
    assert "subject of s" in page
    assert page.count('class="bar"') == 3  # accepted, reserved, and refused at the payment
    assert f"{'/admin/saga_choreography/outboxentry/'}?q=s" in page


def test_sagas_are_found_by_id_and_by_status(admin_client, saga):
    saga("completed", until=6, saga_id="abc")
    saga("completed", until=2, saga_id="xyz")
    page = admin_client.get(SAGAS, {"q": "ab", "status__exact": "completed"}).content.decode()
    assert "abc" in page
    assert "xyz" not in page


def test_redrive_of_a_parked_saga_is_recorded_with_who_asked(
    admin_client, saga, published, settings
):
    settings.REDRIVE_SECONDS = 10
    saga("declined", until=3)
    for minute in range(8):
        look(now=NOON + timedelta(minutes=minute + 1))
    assert Saga.objects.get().status == "parked"
    published()
    ask(admin_client, "retry", "s")
    assert Saga.objects.get().status == "compensating"
    assert [event.redrive for event in published()] == [True]
    assert Intervention.objects.get().requested_by == "eva"


def test_skip_of_a_parked_sagas_step_is_recorded_with_who_asked(
    admin_client, saga, published, settings
):
    settings.REDRIVE_SECONDS = 10
    saga("declined", until=3)
    for minute in range(8):
        look(now=NOON + timedelta(minutes=minute + 1))
    published()
    page = admin_client.get(f"{SAGAS}s/change/").content.decode()
    assert [name in page for name in ("Retry", "Skip the step ...", "Undo ...")] == [True] * 3
    response = admin_client.post(
        SAGAS, {"action": "skip", "_selected_action": ["s"], "reason": " "}
    )
    page = response.content.decode()
    assert "Skip the step of 1 saga?" in page
    assert "1 parked at reserve_inventory" in page
    assert "25.00 in all" in page
    assert "Say why." in page
    assert published() == []
    ask(admin_client, "skip", "s")
    assert Saga.objects.get().status == "compensating"
    (skipped,) = published()
    assert (skipped.type, skipped.data.result["reaction"]) == (
        "step.skip.requested",
        "undo reserve_inventory",
    )
    done = Intervention.objects.get()
    assert (done.action, done.step, done.requested_by) == ("skip", "reserve_inventory", "eva")
    assert done.reason == REASON
    assert LogEntry.objects.get().change_message == f"on their way: {REASON}"


def test_sagas_are_undone_independently(admin_client, saga):
    saga("declined", until=5, saga_id="over")
    saga("completed", until=2, saga_id="runs")
    page = ask(admin_client, "undo", "over", "runs").content.decode()
    assert "1 on their way, 1 refused: 1 already_undone." in page
    assert [intervention.saga_id for intervention in Intervention.objects.all()] == ["runs"]


MANY = 230


@pytest.fixture
def many(start) -> list[str]:
    """Running sagas, and a saga that is undone already."""
    saga_ids = [f"saga {n:03}" for n in range(MANY)]
    start(*saga_ids)
    Saga.objects.filter(pk=saga_ids[7]).update(phase=SagaPhase.ENDED)
    return saga_ids


def notices(page) -> list[str]:
    return [str(message) for message in page.context["messages"]]


def test_many_are_undone_with_one_notice_and_each_is_recorded(admin_client, many):
    (notice,) = notices(ask(admin_client, "undo", *many))
    assert notice.startswith(f"{MANY - 1} on their way, 1 refused: 1 already_undone.")
    assert Intervention.objects.count() == LogEntry.objects.count() == MANY - 1


def test_action_that_takes_longer_than_a_request_goes_on_by_itself(
    admin_client, many, monkeypatch, start
):
    monkeypatch.setattr(participant.admin, "BULK_SECONDS", 0)
    data = {"action": "undo", "select_across": "1", "_selected_action": many[0], "reason": REASON}
    page = admin_client.post(SAGAS, data)
    start("sagb", now=NOON + timedelta(seconds=1))  # starts meanwhile, and was not selected
    assert "49 on their way, 1 refused" in page.content.decode()
    requests = 1
    while is_going_on(page):
        page = go_on(admin_client, page)
        requests += 1
    assert requests == 5
    (notice,) = notices(page)
    assert notice.startswith(f"{MANY - 1} on their way, 1 refused: 1 already_undone.")
    assert Intervention.objects.count() == MANY - 1
    assert not Intervention.objects.filter(saga_id="sagb").exists()


def test_forged_progress_is_refused(admin_client, many):
    data = {"action": "undo", "_selected_action": many, "bulk": "[1", "reason": REASON}
    assert admin_client.post(SAGAS, data).status_code == 400


@pytest.mark.django_db(databases=["default", "saga_choreography"], transaction=True)
def test_locked_saga_is_named_and_holds_up_no_other(admin_client, many):
    is_held, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using="saga_choreography"):
            store.lock_phases(saga_ids=many[:1])
            is_held.set()
            is_done.wait(30)

    holder = InThread(hold, service="saga_choreography")
    assert is_held.wait(30)
    page = ask(admin_client, "undo", *many[:5])
    is_done.set()
    holder.result()
    (notice,) = notices(page)
    assert notice.startswith("4 on their way, 1 refused: 1 busy.")


def test_viewer_may_look_but_not_ask(viewer, saga):
    saga("completed", until=2)
    assert viewer.get(f"{SAGAS}s/change/").status_code == 200
    ask(viewer, "undo", "s")
    assert not Intervention.objects.exists()


def test_saga_cannot_be_edited_in_the_admin(admin_client, saga):
    saga("completed", until=2)
    assert admin_client.get(f"{SAGAS}add/").status_code == 403
    assert admin_client.post(f"{SAGAS}s/change/", {"status": "completed"}).status_code == 403
    assert admin_client.post(f"{SAGAS}s/delete/", {"post": "yes"}).status_code == 403


@pytest.fixture
def parked() -> FailedMessage:
    message = Message("1", "inventory.reserved", b"{ not json")
    failed.dead_letter(service="saga_choreography", message=message, reason="odd")
    return FailedMessage.objects.get()


@pytest.mark.parametrize(("action", "status"), [("retry", "retrying"), ("discard", "discarded")])
def test_parked_message_is_shown_and_dealt_with(admin_client, parked, action, status):
    url = "/admin/saga_choreography/failedmessage/"
    assert "not json" in admin_client.get(f"{url}{parked.pk}/change/").content.decode()
    admin_client.post(url, {"action": action, "_selected_action": [parked.pk], "reason": REASON})
    parked.refresh_from_db()
    assert parked.status == status
    assert parked.reason.endswith(f"{action}ed by eva: {REASON}".replace("retryed", "retried"))


def test_viewer_may_not_discard_a_message(viewer, parked):
    url = "/admin/saga_choreography/failedmessage/"
    viewer.post(url, {"action": "discard", "_selected_action": [parked.pk], "reason": REASON})
    parked.refresh_from_db()
    assert parked.status == "dead_lettered"


def test_outbox_and_workers_are_shown(admin_client, start):
    start("s")
    ask(admin_client, "undo", "s")
    WorkerHeartbeat.objects.create(host="here", pid=1, counters={"messages_consumed": 7})
    outbox = "/admin/saga_choreography/outboxentry/"
    assert "checkout.abort.requested" in admin_client.get(outbox).content.decode()
    beat = WorkerHeartbeat.objects.get()
    page = admin_client.get(f"/admin/saga_choreography/workerheartbeat/{beat.pk}/change/")
    assert "messages_consumed" in page.content.decode()
