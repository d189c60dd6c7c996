"""Sagas in the admin: search, page and actions."""

import pytest

from participant import admin as sagas_admin
from saga_orchestrator.models import Intervention, Saga
from tests.admin_pages import act

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "saga_orchestrator"])

SAGAS = "/admin/saga_orchestrator/saga/"


def test_saga_is_found_by_id_and_by_cart(admin_client, start):
    (saga_id,) = start()
    start()
    for searched in (saga_id[:8], Saga.objects.get(pk=saga_id).subject):
        page = admin_client.get(SAGAS, {"q": searched}).content.decode()
        assert page.count('class="action-select"') == 1
        assert saga_id in page


def test_sagas_are_filtered_by_status_and_step(admin_client, start):
    start()
    filters = {"status__exact": "pending", "current_step__exact": "reserve_inventory"}
    assert 'class="action-select"' in admin_client.get(SAGAS, filters).content.decode()
    filters["status__exact"] = "parked"
    assert 'class="action-select"' not in admin_client.get(SAGAS, filters).content.decode()


def test_saga_is_shown_with_its_steps_on_one_page(admin_client, run, start, when, services):
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    page = admin_client.get(f"{SAGAS}{saga_id}/change/").content.decode()
    assert "process_payment" in page
    assert "19.90" in page
    assert 'name="_save"' not in page


def test_parked_saga_is_retried_by_name(admin_client, run, start, when, services, quick):
    services.faults("confirm_order")
    run()
    (saga_id,) = start()
    when(saga_id, "parked")
    services.is_well_again()
    assert "1 on their way." in act(admin_client, Saga, "retry", saga_id, reason="it is mended")
    when(saga_id, "completed")
    assert Intervention.objects.get(saga=saga_id).requested_by == "eva"


def test_completed_saga_is_undone(admin_client, run, start, when, services):
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    assert "19.90 in all" in act(admin_client, Saga, "undo", saga_id)
    act(admin_client, Saga, "undo", saga_id, reason="returned")
    when(saga_id, "compensated")


def test_refused_action_says_why(admin_client, start):
    (saga_id,) = start()
    assert "not parked" in act(admin_client, Saga, "skip", saga_id, reason="by hand")


def test_many_are_stopped_with_one_notice(admin_client, start, monkeypatch):
    saga_ids = start(120)
    Saga.objects.filter(pk=saga_ids[3]).update(status="compensated", next_attempt_at=None)
    body = {"action": "undo", "_selected_action": saga_ids, "reason": "a recall"}
    monkeypatch.setattr(sagas_admin, "BULK_SECONDS", 60)
    page = admin_client.post(SAGAS, body, follow=True)
    (notice,) = [str(message) for message in page.context["messages"]]
    assert notice.startswith("119 on their way, 1 refused: 1 already_undone.")
    assert Intervention.objects.count() == 119


def test_runners_and_definitions_are_shown(admin_client, run, start, when, services):
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    for model in ("runner", "definition", "workerheartbeat"):
        assert admin_client.get(f"/admin/saga_orchestrator/{model}/").status_code == 200


def test_saga_that_cannot_be_read_is_undone(admin_client, run, start, when, services):
    """With the rights of the dashboard's database login, which writes the definition it needs."""
    (broken,) = start()
    Saga.objects.filter(pk=broken).update(context={})
    run()
    when(broken, "parked")
    assert "1 on their way." in act(admin_client, Saga, "undo", broken, reason="typed over")
    when(broken, "failed", "compensated")
