"""Failed messages can be seen, retried and discarded without writing SQL."""

import msgspec
import pytest

from inventario.models import FailedMessage, OutboxEntry
from messaging import failed, outbox
from messaging.brokers import Message
from participant import admin as records
from tests.integration.messaging.test_saying import commit

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "inventario"]),
    pytest.mark.undocumented("messages"),
]
SERVICE = "inventario"
PARKED, UNSENT = "/inventario/messages/parked", "/inventario/messages/unsent"


@pytest.fixture
def parked():
    def make(count=1, body=b"{ not json"):
        for number in range(count):
            message = Message(f"{number}", "checkout.inventory.reserved", body)
            failed.dead_letter(service=SERVICE, message=message, reason="odd")
        return list(FailedMessage.objects.order_by("id"))

    return make


@pytest.fixture
def unsent(initiated):
    def make(count=1):
        commit(*[initiated() for _ in range(count)])
        ids = list(OutboxEntry.objects.values_list("pk", flat=True))
        outbox.postpone(service=SERVICE, ids=ids, reason="too large")
        return list(OutboxEntry.objects.order_by("id"))

    return make


def answered(response, status=200):
    assert response.status_code == status, response.content
    return msgspec.json.decode(response.content)


def test_parked_messages_are_listed_newest_first_in_pages(client, parked):
    made = parked(5)
    page = answered(client.get(f"{PARKED}?page_size=2"))
    assert [row["id"] for row in page["results"]] == [made[4].pk, made[3].pk]
    parked(6)  # new messages move no page
    page = answered(client.get(page["next"]))
    assert [row["id"] for row in page["results"]] == [made[2].pk, made[1].pk]
    page = answered(client.get(page["next"]))
    assert ([row["id"] for row in page["results"]], page["next"]) == ([made[0].pk], None)
    (row,) = page["results"]
    assert (row["status"], row["reason"], row["body"]) == ("dead_lettered", "odd", "{ not json")


def test_parked_messages_are_listed_by_status(client, parked):
    failed.discard(service=SERVICE, ids=[parked(2)[0].pk])
    page = answered(client.get(f"{PARKED}?status=discarded"))
    assert len(page["results"]) == 1
    assert answered(client.get(f"{PARKED}?status=retrying"))["results"] == []


@pytest.mark.parametrize("asked", ["status=odd", "page_size=0", "cursor=x", "cursor=" + "9" * 30])
def test_list_names_what_is_wrong(client, asked):
    problem = answered(client.get(f"{PARKED}?{asked}"), 400)
    assert asked.partition("=")[0] in problem["detail"]


def test_large_body_is_shown_as_it_begins(client, parked):
    parked(body=b"\xf1" * 50_000)
    (row,) = answered(client.get(PARKED))["results"]
    assert (len(row["body"]), row["size"]) == (2_000, 50_000)


@pytest.mark.parametrize(("act", "status"), [("retry", "retrying"), ("discard", "discarded")])
def test_parked_message_is_dealt_with_once(client, parked, act, status):
    (row,) = parked()
    assert (
        answered(client.post(f"{PARKED}/{row.pk}/{act}", content_type="application/json"))["status"]
        == status
    )
    row.refresh_from_db()
    assert row.status == status
    failed.discard(service=SERVICE, ids=[row.pk])
    problem = answered(
        client.post(f"{PARKED}/{row.pk}/{act}", content_type="application/json"), 409
    )
    assert problem["code"] == "not_dead_lettered"


@pytest.mark.parametrize("row_id", ["7", "x", "9" * 40, "-1", "٣"])
@pytest.mark.parametrize("url", [PARKED, UNSENT])
def test_unknown_message_is_not_found(client, url, row_id):
    for act in ("retry", "discard"):
        response = client.post(f"{url}/{row_id}/{act}", content_type="application/json")
        assert answered(response, 404)["code"] == "not_found"
        assert response["Content-Type"] == "application/problem+json"


def test_unsent_events_are_listed_with_reason_and_next_attempt(client, unsent, initiated):
    (row,) = unsent()
    commit(initiated())  # this event only waits for the relay
    (shown,) = answered(client.get(UNSENT))["results"]
    assert (shown["event_id"], shown["reason"], shown["attempts"]) == (row.event_id, "too large", 1)
    assert shown["next_attempt_at"]
    assert "checkout.initiated" in shown["body"]


def test_unsent_event_is_retried_or_discarded(client, unsent):
    first, second = unsent(2)
    assert (
        answered(client.post(f"{UNSENT}/{first.pk}/retry", content_type="application/json"))["id"]
        == first.pk
    )
    assert due() == [first.pk]
    assert (
        answered(client.post(f"{UNSENT}/{second.pk}/discard", content_type="application/json"))[
            "id"
        ]
        == second.pk
    )
    assert not OutboxEntry.objects.filter(pk=second.pk).exists()
    OutboxEntry.objects.update(next_attempt_at=None)
    assert (
        answered(client.post(f"{UNSENT}/{first.pk}/discard", content_type="application/json"), 409)[
            "code"
        ]
        == "not_dead_lettered"
    )


def due():
    return [row.id for row in outbox.due(service=SERVICE, limit=10)]


MANY = 1_200


@pytest.mark.parametrize(("action", "status"), [("retry", "retrying"), ("discard", "discarded")])
def test_admin_deals_with_many_in_few_statements_and_one_message(
    admin_client, parked, django_assert_max_num_queries, monkeypatch, action, status
):
    monkeypatch.setattr("participant.admin.BULK_SECONDS", 60.0)  # a slow machine's one request
    parked(2)
    FailedMessage.objects.bulk_create(
        FailedMessage(event_id=str(n), event_type="t", saga_id="", body=b"", status="dead_lettered")
        for n in range(MANY - 2)
    )
    failed.discard(service=SERVICE, ids=[FailedMessage.objects.order_by("id")[0].pk])
    url, every = "/admin/inventario/failedmessage/", {"select_across": "1"}
    first = FailedMessage.objects.order_by("-id")[0].pk
    chosen = {"action": action, "_selected_action": [first], "reason": "a test", **every}
    with django_assert_max_num_queries(27, using=SERVICE):
        page = admin_client.post(url, chosen, follow=True).content.decode()
    done = FailedMessage.objects.filter(status=status).count()
    assert done == (MANY if action == "discard" else MANY - 1)
    assert page.count(f"{MANY - 1} ") == 1
    assert "1 refused: 1 needs_nothing." in page


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_admin_deals_with_unsent_events(admin_client, unsent, action):
    (row,) = unsent()
    url = "/admin/inventario/outboxentry/"
    assert "too large" in admin_client.get(url).content.decode()
    assert admin_client.get(f"{url}{row.pk}/change/").status_code == 200
    chosen = {"action": action, "_selected_action": [row.pk]}
    page = admin_client.post(url, chosen, follow=True).content.decode()
    assert ("Discard 1 outbox entry?" in page) == (action == "discard")
    admin_client.post(url, chosen | {"reason": "a test"})
    assert due() == ([row.pk] if action == "retry" else [])
    assert OutboxEntry.objects.exists() == (action == "retry")


def test_control_plain_formatting_of_deep_json_falls_over():
    with pytest.raises(RecursionError):
        msgspec.json.format(b"[" * 50_000 + b"]" * 50_000, indent=2)
    assert "bytes" in records.as_json(b"[" * 50_000 + b"]" * 50_000)
