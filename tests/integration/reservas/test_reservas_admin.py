"""reservas in the admin: all of it can be looked at, and the manager decides in the inbox."""

import pytest
from django.contrib.auth.models import Permission

from reservas import operations
from reservas.models import Decision
from tests.admin_pages import act, look_at_all

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reservas"])


def test_every_list_and_every_row_can_be_looked_at(admin_client, desk):
    desk.asked()
    at_least = ["Slot", "Booking", "Decision", "IdempotencyKey"]
    look_at_all(admin_client, "reservas", at_least=at_least)


def keys(*sagas: str) -> list[str]:
    found = Decision.objects.filter(saga_id__in=sagas).order_by("pk")
    return [str(key) for key in found.values_list("pk", flat=True)]


def test_chosen_bookings_are_approved_and_say_by_whom(admin_client, desk):
    first, second, other = desk.asked(), desk.asked(), desk.asked()
    assert "2 approved." in act(admin_client, Decision, "approve", *keys(first, second))
    assert {desk.status(one)[0] for one in (first, second)} == {"approved"}
    assert desk.status(other)[0] == "pending"
    assert set(Decision.objects.filter(verdict="yes").values_list("by", flat=True)) == {"eva"}


def test_rejected_booking_is_told_so(admin_client, desk):
    saga_id = desk.asked()
    assert "1 rejected." in act(admin_client, Decision, "reject", *keys(saga_id))
    assert Decision.objects.get().verdict == "no"


def test_what_was_decided_or_withdrawn_is_left_and_told(admin_client, desk):
    rejected, withdrawn, asked = desk.asked(), desk.asked(), desk.asked()
    act(admin_client, Decision, "reject", *keys(rejected))
    desk.undo(operations.withdraw, "approve_booking", withdrawn)
    told = act(admin_client, Decision, "approve", *keys(rejected, withdrawn, asked))
    assert "1 approved, 2 refused: 1 already_decided, 1 decision_closed." in told


def test_who_may_only_look_decides_nothing(client, desk, django_user_model):
    eva = django_user_model.objects.create(username="eva", is_staff=True)
    eva.user_permissions.set(Permission.objects.filter(codename="view_decision"))
    client.force_login(eva)
    saga_id = desk.asked()
    act(client, Decision, "approve", *keys(saga_id))
    assert Decision.objects.get().verdict == ""
