"""The admin: a saga with its steps and trail on one page, and what may be asked of it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User

from contracts import events
from messaging import parking
from messaging.brokers import Message
from saga_choreography.models import Intervention, ParkedMessage, Saga, WorkerHeartbeat
from saga_choreography.watchdog import look
from tests.unit.choreography.made import NOON

pytestmark = pytest.mark.django_db(databases=["default", "saga_choreography"])

SAGAS = "/admin/saga_choreography/saga/"


@pytest.fixture
def viewer(client):
    """Somebody who may look, and nothing else."""
    user = User.objects.create_user("vera", password="v", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


def ask(client, action: str, *saga_ids: str):
    data = {"action": action, "_selected_action": list(saga_ids)}
    return client.post(SAGAS, data, follow=True)


def test_saga_is_on_one_page_with_steps_and_trail(admin_client, saga):
    saga("declined", until=4)
    page = admin_client.get(f"{SAGAS}s/change/").content.decode()
    assert "process_payment" in page
    assert "card_declined" in page
    assert events.INVENTORY_UNRESERVED in page
    assert "cart of s" in page


def test_sagas_are_found_by_id_and_by_status(admin_client, saga):
    saga("completed", until=6, saga_id="abc")
    saga("completed", until=2, saga_id="xyz")
    found = admin_client.get(SAGAS, {"q": "ab", "status__exact": "completed"}).content.decode()
    assert "abc" in found
    assert "xyz" not in found


def test_parked_saga_is_nudged_and_it_is_written_down_by_whom(admin_client, saga, said, settings):
    settings.NUDGE_SECONDS = 10
    saga("declined", until=3)
    for minute in range(8):
        look(now=NOON + timedelta(minutes=minute + 1))
    assert Saga.objects.get().status == "parked"
    said()
    ask(admin_client, "nudge", "s")
    assert Saga.objects.get().status == "compensating"
    assert [one.nudge for one in said()] == [True]
    assert Intervention.objects.get().requested_by == "admin"


def test_parked_saga_goes_on_without_its_step_and_it_is_written_down_by_whom(
    admin_client, saga, said, settings
):
    settings.NUDGE_SECONDS = 10
    saga("declined", until=3)
    for minute in range(8):
        look(now=NOON + timedelta(minutes=minute + 1))
    said()
    ask(admin_client, "skip", "s")
    assert Saga.objects.get().status == "compensating"
    assert [one.type for one in said()] == [events.INVENTORY_UNRESERVED]
    done = Intervention.objects.get()
    assert (done.action, done.requested_by, done.reason) == ("skip", "admin", "from the admin")


def test_sagas_are_undone_each_for_itself(admin_client, saga):
    saga("declined", until=5, saga_id="over")
    saga("completed", until=2, saga_id="runs")
    page = ask(admin_client, "undo", "over", "runs").content.decode()
    assert "is undone already" in page
    assert [one.saga_id for one in Intervention.objects.all()] == ["runs"]


def test_viewer_may_look_but_not_ask(viewer, saga):
    saga("completed", until=2)
    assert viewer.get(f"{SAGAS}s/change/").status_code == 200
    ask(viewer, "undo", "s")
    assert not Intervention.objects.exists()


def test_nobody_types_over_a_saga(admin_client, saga):
    saga("completed", until=2)
    assert admin_client.get(f"{SAGAS}add/").status_code == 403
    assert admin_client.post(f"{SAGAS}s/change/", {"status": "completed"}).status_code == 403
    assert admin_client.post(f"{SAGAS}s/delete/", {"post": "yes"}).status_code == 403


@pytest.fixture
def parked() -> ParkedMessage:
    message = Message("1", "inventory.reserved", b"{ not json")
    parking.park_unreadable(service="saga_choreography", message=message, reason="odd")
    return ParkedMessage.objects.get()


@pytest.mark.parametrize(("action", "status"), [("retry", "retrying"), ("discard", "discarded")])
def test_parked_message_is_shown_and_dealt_with(admin_client, parked, action, status):
    url = "/admin/saga_choreography/parkedmessage/"
    assert "not json" in admin_client.get(f"{url}{parked.pk}/change/").content.decode()
    admin_client.post(url, {"action": action, "_selected_action": [parked.pk]})
    parked.refresh_from_db()
    assert parked.status == status


def test_viewer_may_not_discard_a_message(viewer, parked):
    url = "/admin/saga_choreography/parkedmessage/"
    viewer.post(url, {"action": "discard", "_selected_action": [parked.pk]})
    parked.refresh_from_db()
    assert parked.status == "parked"


def test_outbox_and_workers_are_shown(admin_client, start):
    start("s")
    WorkerHeartbeat.objects.create(host="here", pid=1, counters={"messages_consumed": 7})
    outbox = "/admin/saga_choreography/outboxentry/"
    assert events.CHECKOUT_INITIATED in admin_client.get(outbox).content.decode()
    beat = WorkerHeartbeat.objects.get()
    page = admin_client.get(f"/admin/saga_choreography/workerheartbeat/{beat.pk}/change/")
    assert "messages_consumed" in page.content.decode()
