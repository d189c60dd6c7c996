"""reservas in the admin: all can be viewed, and the manager decides in the inbox."""

import pytest
from django.contrib.auth.models import Permission

from reservas import operations
from reservas.models import Decision, Intervention, Slot
from tests.admin_pages import act, as_dashboard, look_at_all, url_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reservas"])


def test_every_list_and_every_row_can_be_looked_at(admin_client, desk):
    desk.asked()
    at_least = ["Slot", "Booking", "Decision", "IdempotencyKey"]
    look_at_all(admin_client, "reservas", at_least=at_least)


def keys(*sagas: str) -> list[str]:
    decisions = Decision.objects.filter(saga_id__in=sagas).order_by("pk")
    return [str(key) for key in decisions.values_list("pk", flat=True)]


def test_chosen_bookings_are_approved_and_name_by_whom(admin_client, desk):
    first, second, other = desk.asked(), desk.asked(), desk.asked()
    assert "2 approved." in act(
        admin_client, Decision, "approve", *keys(first, second), reason="a test"
    )
    assert {desk.status(booking_id)[0] for booking_id in (first, second)} == {"approved"}
    assert desk.status(other)[0] == "pending"
    assert set(Decision.objects.filter(verdict="yes").values_list("by", flat=True)) == {"eva"}


def test_booking_is_rejected_with_the_given_reason(admin_client, desk):
    saga_id = desk.asked()
    assert "1 rejected." in act(admin_client, Decision, "reject", *keys(saga_id), reason="a test")
    decision = Decision.objects.get()
    assert (decision.verdict, decision.reason) == ("no", "a test")


def test_why_is_asked_before_anything_is_decided(admin_client, desk):
    saga_id = desk.asked()
    page = act(admin_client, Decision, "approve", *keys(saga_id))
    assert "Approve 1 decision?" in page
    assert Decision.objects.get().verdict == ""


def test_edits_of_a_slot_are_recorded(admin_client, desk):
    price = {"name": desk.slot.name, "price_per_hour": "7.00"}
    with as_dashboard("reservas"):
        changed = admin_client.post(url_of(Slot, "change", desk.slot.pk), price)
        added = admin_client.post(url_of(Slot, "add"), price)
        slot = Slot.objects.latest("pk")
        gone = admin_client.post(url_of(Slot, "delete", slot.pk), {"post": "yes"})
    assert [response.status_code for response in (changed, added, gone)] == [302] * 3
    interventions = Intervention.objects.order_by("pk").values_list(
        "action", "subject", "requested_by"
    )
    assert list(interventions) == [
        ("slot.change", f"slot {desk.slot.pk}", "eva"),
        ("slot.add", f"slot {slot.pk}", "eva"),
        ("slot.delete", f"slot {slot.pk}", "eva"),
    ]
    assert "-> 7.00" in Intervention.objects.order_by("pk")[0].detail


def test_decided_and_withdrawn_bookings_are_left_and_counted(admin_client, desk):
    rejected, withdrawn, asked = desk.asked(), desk.asked(), desk.asked()
    act(admin_client, Decision, "reject", *keys(rejected), reason="a test")
    desk.undo(operations.withdraw, "approve_booking", withdrawn)
    page = act(
        admin_client, Decision, "approve", *keys(rejected, withdrawn, asked), reason="a test"
    )
    assert "1 approved, 2 refused: 1 already_decided, 1 decision_closed." in page


def test_viewer_decides_nothing(client, desk, django_user_model):
    eva = django_user_model.objects.create(username="eva", is_staff=True)
    eva.user_permissions.set(Permission.objects.filter(codename="view_decision"))
    client.force_login(eva)
    saga_id = desk.asked()
    act(client, Decision, "approve", *keys(saga_id), reason="a test")
    assert Decision.objects.get().verdict == ""
