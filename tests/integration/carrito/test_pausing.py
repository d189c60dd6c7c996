"""An operator pauses checkouts: carrito accepts none, and those that run go on."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from carrito.models import Cart, CartItem, Checkout, Pause
from contracts.patterns import CHOREOGRAPHED, ORCHESTRATED
from coordination import pausing
from httpapi import standing
from httpapi.problems import Problem
from tests.admin_pages import act

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "carrito"])

PAUSES = "/carrito/pauses"
ALL = {"saga": "checkout", "requested_by": "eva", "reason": "stocktaking"}
ONE = {**ALL, "saga_pattern": CHOREOGRAPHED}


@pytest.fixture(autouse=True)
def _looks_anew(monkeypatch):
    monkeypatch.setattr(pausing, "_seen", {})


def pause(client: Client, body: dict[str, str], status: int = 201) -> dict:
    response = client.post(PAUSES, json.dumps(body), content_type="application/json")
    assert response.status_code == status, response.content
    return response.json()


def resume(client: Client, query: dict[str, str], status: int = 200) -> dict:
    response = client.delete(PAUSES, query_params=query)
    assert response.status_code == status, response.content
    return response.json()


def is_paused(pattern: str) -> bool:
    try:
        pausing.check(service="carrito", saga="checkout", pattern=pattern)
    except Problem as refused:
        return refused.code == "paused"
    return False


def check_out(client: Client, pattern: str = ORCHESTRATED):
    cart = Cart.objects.create(id=f"c{Cart.objects.count()}", user_id="ana")
    CartItem.objects.create(cart=cart, product_id="1", quantity=1, unit_price="10.00")
    body = {"cart_id": cart.id, "payment_method": "credit_card", "saga_pattern": pattern}
    return client.post("/checkout/saga", json.dumps(body), content_type="application/json")


def test_paused_checkout_is_refused_with_who_why_and_since_when_and_others_go_on(client):
    running = check_out(client, CHOREOGRAPHED).json()["saga_id"]
    pause(client, ONE)
    refused = check_out(client, CHOREOGRAPHED)
    assert (refused.status_code, refused.json()["code"]) == (503, "paused")
    assert refused.headers["Retry-After"] == str(pausing.RETRY_AFTER_SECONDS)
    detail = refused.json()["detail"]
    assert "checkout, choreographed, is paused by eva: stocktaking (since 20" in detail
    assert check_out(client, ORCHESTRATED).status_code == 202
    assert Checkout.objects.filter(saga_pattern=CHOREOGRAPHED).get().saga_id == running
    resume(client, ONE | {"reason": "counted"})
    assert check_out(client, CHOREOGRAPHED).status_code == 202
    row = Pause.objects.get()
    assert (row.resumed_by, row.resume_reason) == ("eva", "counted")


def test_saga_paused_in_all_patterns_is_resumed_as_a_whole(client):
    pause(client, ALL)
    assert pause(client, ALL, 409)["code"] == "already_paused"
    pause(client, ONE)
    assert is_paused(ORCHESTRATED)
    assert resume(client, {**ALL, "saga_pattern": ORCHESTRATED}, 409)["code"] == "not_paused"
    assert len(resume(client, ALL)["resumed"]) == 2
    assert not is_paused(CHOREOGRAPHED)


@pytest.mark.parametrize("wrong", [{"saga": "shipment"}, {"saga_pattern": "no"}, {"reason": ""}])
def test_wrong_field_is_named(client, wrong):
    assert pause(client, ALL | wrong, 400)["errors"][0]["field"] in wrong


def test_other_process_notices_within_a_second_and_looks_no_oftener(
    client, monkeypatch, django_assert_num_queries
):
    now = 1000.0
    monkeypatch.setattr(pausing.time, "monotonic", lambda: now)
    assert not is_paused(ORCHESTRATED)
    Pause.objects.create(saga="checkout", paused_by="eva", reason="elsewhere")
    now += pausing.REFRESH_SECONDS - 0.001
    with django_assert_num_queries(0, using="carrito"):
        assert not is_paused(ORCHESTRATED)
    now += 0.001
    with django_assert_num_queries(1, using="carrito"):
        assert [is_paused(ORCHESTRATED) for _ in range(3)] == [True] * 3


def test_health_and_the_admin_show_it_and_the_admin_resumes_it(admin_client):
    url = "/admin/carrito/pause/"
    admin_client.post(f"{url}add/", {"saga": "checkout", "saga_pattern": "", "reason": "night"})
    (wait,) = standing.pauses(service="carrito").waits
    assert wait.what == "checkout is paused by eva: night"
    assert is_paused(ORCHESTRATED)
    row = Pause.objects.get()
    assert "Resume 1 pause?" in act(admin_client, Pause, "resume", row.pk)
    assert is_paused(ORCHESTRATED)
    assert "1 accepted again." in act(admin_client, Pause, "resume", row.pk, reason="morning")
    assert not is_paused(ORCHESTRATED)


def test_commands_pause_and_resume(operator, capsys):
    arguments = ["checkout", "--pattern", CHOREOGRAPHED, "--by", "eva", "--reason", "stocktaking"]
    call_command("pause", *arguments)
    assert is_paused(CHOREOGRAPHED)
    with pytest.raises(CommandError, match="is paused already"):
        call_command("pause", *arguments)
    call_command("resume", *arguments)
    assert not is_paused(CHOREOGRAPHED)
    assert "accepted again in choreographed; eva had paused it" in capsys.readouterr().out
