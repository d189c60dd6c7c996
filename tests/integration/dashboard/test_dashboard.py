"""The dashboard's pages in this process, on sagas with each kind of end, and a waiting saga."""

import re
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from django.contrib.auth.models import Permission
from django.db.models.functions import Now
from django.test import Client

import dashboard
from carrito.models import Checkout, Order
from catalogue import SAGAS
from catalogue.services import COORDINATORS, WITH_DATABASE
from dashboard import actions, figures, live, reports, store, timeline
from dashboard.store import Filter
from httpapi import waiting
from httpapi.client import ServiceResponse, Unreachable
from pagos.models import Payment
from reservas.models import Decision as BookingDecision
from saga_choreography import models as choreography
from saga_orchestrator import models as orchestrator
from tests.integration.audit import conftest as audit

pytestmark = pytest.mark.django_db(databases=[*WITH_DATABASE, "default"])
FAILED = {"refused"}
UNDONE = {"undone", "returned", "not-delivered", "brought-back", "withdrawn", "not-bought"}
UNDONE |= {"given-back", "not-booked", "booked-no-more"}
SOLD = {"sold", "sold-too", "sold-as-well"}
COMPLETED = {*SOLD, "delivered", "bought", "booked"}
ALL = {*FAILED, *UNDONE, *COMPLETED, "waits"}


made = audit.shop


@pytest.fixture
def shop(made):
    """Sagas with each kind of end, and a saga that waits for its customer."""
    steps = [msgspec.to_builtins(step) for step in SAGAS["checkout"].steps]
    orchestrator.Definition.objects.create(digest="-", name="checkout", steps=steps)
    now = store.sql.now(service="saga_orchestrator")
    orchestrator.Saga.objects.filter(pk="waits").update(
        waiting_since=now, waiting_until=now, waiting_for="customer"
    )
    return made


class InProcess:
    """A service's API, called in this process."""

    def __init__(self) -> None:
        self._client = Client()

    def get(self, *, path, headers):
        return self._as_given(self._client.get(path, headers=headers))

    def post(self, *, path, body, headers):
        kind = "application/json"
        return self._as_given(self._client.post(path, body, content_type=kind, headers=headers))

    def _as_given(self, answer):
        return ServiceResponse(answer.status_code, answer.content, answer.headers)


@pytest.fixture
def api(monkeypatch):
    """Serves the API; without it no service answers."""
    monkeypatch.setattr(actions, "client", lambda service: InProcess())


@pytest.fixture(autouse=True)
def _no_service_answers(monkeypatch):
    def away(service):
        def get(**arguments):
            raise Unreachable(f"{service} is away")

        return SimpleNamespace(get=get, post=get)

    monkeypatch.setattr(actions, "client", away)


def found(**wanted):
    """The ids on all pages of that list, each once, by following `next`."""
    ids, before = [], ""
    while True:
        page = store.sagas(Filter(**wanted, before=before))
        ids += [row.saga_id for row in page.rows]
        if not page.next:
            assert len(ids) == len(set(ids)), "a saga is on two pages"
            return set(ids)
        before = page.next


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ALL),
        ({"status": "failed"}, FAILED),
        ({"status": "completed"}, COMPLETED),
        ({"status": "compensated"}, UNDONE),
        ({"status": "open"}, {"waits"}),
        ({"status": "waiting"}, {"waits"}),
        ({"status": "parked"}, set()),
        ({"saga": "purchase"}, {"waits", "withdrawn", "bought", "not-bought", "given-back"}),
        ({"pattern": "orchestrated_messaging"}, {"sold-as-well"}),
        ({"pattern": "choreographed", "saga": "checkout"}, {"sold-too", "undone"}),
        ({"step": "confirm_payment"}, {"waits"}),
        ({"age": "60 minutes"}, ALL),
        ({"age": "-1 minutes"}, set()),
        ({"q": "sold"}, SOLD),
        ({"q": "sold%"}, set()),
        ({"q": "cart of sold-too"}, {"sold-too"}),
        ({"q": "ana", "status": "waiting"}, {"waits"}),
        ({"q": "ana", "saga": "booking"}, {"booked", "not-booked", "booked-no-more"}),
        ({"q": "nobody"}, set()),
    ],
)
@pytest.mark.parametrize("size", [50, 2])
def test_filters_find_what_they_name_on_pages_of_any_size(
    shop, monkeypatch, wanted, expected, size
):
    monkeypatch.setattr(store, "PAGE", size)
    assert found(**wanted) == expected


def test_recorded_trace_is_linked(shop, admin_client, settings):
    settings.TRACE_URL = "http://jaeger/trace/{trace_id}"
    for flags, links in (("01", 1), ("00", 0)):
        traceparent = f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
        checkout = Checkout.objects.get(pk="sold")
        checkout.context["traceparent"] = traceparent
        checkout.save()
        page = admin_client.get("/dashboard/sagas/sold").content.decode()
        assert page.count('href="http://jaeger/trace/0af7651916cd43dd8448eb211c80319c"') == links


@pytest.mark.parametrize("status", ["failed", "compensated", "parked"])
def test_look_that_is_cut_goes_on_where_it_ended(shop, monkeypatch, status):
    complete = found(status=status)
    monkeypatch.setattr(store, "LOOKED_THROUGH", 3)
    assert store.sagas(Filter(status="failed")).is_cut
    assert found(status=status) == complete


def test_order_and_payment_lead_to_their_saga(shop):
    assert found(q=Order.objects.get(checkout="sold").pk) == {"sold"}
    assert found(q=Payment.objects.get(saga_id="undone").pk) == {"undone"}


def test_choreographed_saga_is_found_at_the_step_that_its_events_show(shop):
    """Its row has only that it runs."""
    row = choreography.Saga.objects.filter(pk="sold-too")
    row.update(status="running", finished_at=None, watch_at=row.get().started_at)
    for event in ("checkout.initiated", "inventory.reserved"):
        choreography.SagaEvent.objects.create(
            saga_id="sold-too",
            event_type=event,
            event_id=event,
            cause_id="",
            occurred_at=row.get().started_at,
            seen_at=row.get().started_at,
            data={},
        )
    assert found(step="process_payment") == {"sold-too"}
    assert found(step="create_order") == set()
    (shown,) = [row for row in store.sagas(Filter(status="open")).rows if row.saga_id != "waits"]
    assert shown.step == "process_payment"


@pytest.mark.parametrize("query", ["before=nonsense", "age=tomorrow", "before=2026-01-01"])
def test_wrong_filter_is_named(admin_client, query):
    response = admin_client.get(f"/dashboard/sagas?{query}")
    assert response.status_code == 400
    assert "choose again" in response.content.decode()


@pytest.mark.parametrize("saga_id", sorted(ALL))
def test_page_of_a_saga_shows_each_step_also_while_no_service_answers(shop, admin_client, saga_id):
    text = admin_client.get(f"/dashboard/sagas/{saga_id}").content.decode()
    name = store.saga(saga_id).saga
    for step in SAGAS[name].steps:
        assert f">{step.name}</text>" in text
    assert "Its coordinator does not answer" in text


def test_page_of_a_saga_shows_what_its_coordinator_knows(shop, admin_client, api):
    text = admin_client.get("/dashboard/sagas/waits").content.decode()
    assert "waits for the customer" in text
    assert "Its coordinator does not answer" not in text
    assert admin_client.get("/dashboard/sagas/none").status_code == 404


def test_parked_saga_is_shown_with_the_reason_and_what_may_be_done(shop, admin_client, api):
    orchestrator.Saga.objects.filter(pk="sold").update(
        status="parked",
        parked_at=store.sql.now(service="saga_orchestrator"),
        parked_reason="its order can't be confirmed",
        current_step="confirm_order",
        finished_at=None,
    )
    text = admin_client.get("/dashboard/sagas/sold").content.decode()
    assert "its order can&#x27;t be confirmed" in text
    assert all(f'value="{action}"' in text for action in actions.ACTIONS)
    assert "It is about 25.00" in text
    assert found(status="parked") == {"sold"}


def test_address_and_card_are_on_no_page(shop, admin_client, api):
    context = orchestrator.Saga.objects.get(pk="sold").context
    assert context["data"]["payment_method"] == "credit_card", "it would be there to be seen"
    text = admin_client.get("/dashboard/sagas/sold").content.decode()
    assert timeline.HIDDEN in text
    assert "credit_card" not in text
    destination = admin_client.get("/dashboard/sagas/delivered").content.decode()
    assert "Madrid" not in destination


def test_payload_is_shown_without_what_is_private():
    payload = {
        "user_id": "ana",
        "billing_address": {"street": "Calle Mayor 1"},
        "note": "paid with 4111 1111 1111 1111 today",
        "items": [{"product_id": "1", "cardholder": "Ana", "price": "12.50"}],
    }
    assert timeline.redacted(payload) == {
        "user_id": "ana",
        "billing_address": timeline.HIDDEN,
        "note": f"paid with {timeline.HIDDEN} today",
        "items": [{"product_id": "1", "cardholder": timeline.HIDDEN, "price": "12.50"}],
    }


def test_action_is_recorded_under_the_user_who_is_logged_in(shop, admin_client, api):
    form = {"action": "compensate", "reason": "wrong size"}
    response = admin_client.post("/dashboard/sagas/sold/act", form, follow=True)
    assert ": requested." in response.content.decode()
    done = orchestrator.Intervention.objects.get(saga="sold")
    assert (done.action, done.requested_by, done.reason) == ("return", "eva", "wrong size")
    assert "return asked by eva" in admin_client.get("/dashboard/sagas/sold").content.decode()


def test_action_without_a_reason_does_nothing(shop, admin_client, api):
    form = {"action": "compensate", "reason": " "}
    response = admin_client.post("/dashboard/sagas/sold/act", form, follow=True)
    assert "give a reason" in response.content.decode()
    assert not orchestrator.Intervention.objects.filter(saga="sold").exists()


def test_refusal_is_shown_in_the_words_of_the_api(shop, admin_client, api):
    form = {"action": "retry", "reason": "again"}
    response = admin_client.post("/dashboard/sagas/sold/act", form, follow=True)
    assert "nothing_to_retry" in response.content.decode()


def test_verdict_goes_to_the_service_that_waits(shop, admin_client, monkeypatch):
    posted = []

    class Noting(InProcess):
        def post(self, *, path, body, headers):
            posted.append((path, body))
            return ServiceResponse(200, b"{}")

    monkeypatch.setattr(actions, "client", lambda service: Noting() if service == "pagos" else None)
    form = {"action": "yes", "step": "confirm_payment", "reason": "called", "data": '{"a": 1}'}
    admin_client.post("/dashboard/sagas/waits/act", form)
    body = {"verdict": "yes", "by": "eva", "reason": "called", "data": {"a": 1}}
    assert posted == [("/decisions/waits/confirm_payment", body)]
    assert BookingDecision.objects.exists(), "other decisions there are"


def test_pages_need_the_permission_to_see_sagas(shop, client, django_user_model, api):
    def status_of(person, path="/dashboard/sagas"):
        client.force_login(person)
        return client.get(path).status_code

    assert client.get("/").headers["Location"].startswith("/admin/login/?next=/")
    person = django_user_model.objects.create(username="ana", is_staff=True)
    assert status_of(person) == 403
    rights = Permission.objects.filter(
        content_type__app_label__in=COORDINATORS, codename__in=["view_saga"]
    )
    person.user_permissions.set(rights)
    person = django_user_model.objects.get(pk=person.pk)  # its rights are kept with it
    assert status_of(person) == 200
    page = client.get("/dashboard/sagas/sold").content.decode()
    assert "What you may do" not in page
    form = {"action": "compensate", "reason": "x"}
    assert client.post("/dashboard/sagas/sold/act", form).status_code == 403
    assert client.post("/dashboard/race/start", {"pattern": "orchestrated"}).status_code == 403
    django_user_model.objects.filter(pk=person.pk).update(is_staff=False)
    assert client.get("/dashboard/sagas").status_code == 403


@pytest.mark.parametrize("path", ["/", "sagas", "sagas/waits", "race?saga=sold", "reports"])
def test_page_has_no_script_or_style_of_its_own(shop, admin_client, api, path):
    response = admin_client.get(path if path == "/" else f"/dashboard/{path}")
    text = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", text)
    assert "unsafe" not in response.headers["Content-Security-Policy"]


def test_figures_are_those_of_the_database(shop):
    Checkout.objects.update(accepted_at=Now())  # the shop was made before this test
    found = figures._look()
    numbers = {(row.saga, row.pattern): row for row in found.rows}
    assert numbers["purchase", "orchestrated"].waiting == 1
    assert found.totals["in_flight"] == orchestrator.Saga.objects.filter(finished_at=None).count()
    checkouts = numbers["checkout", "orchestrated"]
    accepted = Checkout.objects.filter(saga_pattern="orchestrated")
    assert checkouts.rate == accepted.count() / figures.BUCKET_SECONDS
    assert checkouts.failed == accepted.filter(status__in=["failed", "compensated"]).count()
    assert checkouts.p50 is not None
    assert found.idle["fulfilment"] == ["orchestrated_messaging"]
    away = {entry["service"] for entry in found.attention}
    assert "pagos" in away, "no service answers here"


def test_race_shows_the_same_steps_side_by_side(shop, admin_client):
    text = admin_client.get("/dashboard/race/live?saga=sold&saga=undone&saga=none").content.decode()
    assert text.count('scope="col"') == 3, "the step, and two sagas that there are"
    assert text.count("done at") >= 4, "what was undone of the second"


def test_stream_sends_what_has_changed_and_ends_with_the_process(monkeypatch):
    parts = iter(["<p>1</p>", "<p>1</p>", "<p>2</p>"])
    monkeypatch.setattr(live, "_rendered", lambda render: render())
    frames = live._frames(lambda: next(parts), 0.0)
    assert [frame.split(b"\n")[0] for frame in islice(frames, 4)] == [
        b"retry: 1000",
        b"data: <p>1</p>",
        b": as before",
        b"data: <p>2</p>",
    ]
    monkeypatch.setattr(waiting.places, "is_closed", SimpleNamespace(wait=lambda seconds: True))
    assert list(frames) == []
    assert live.places._taken == 0


def test_stream_beyond_the_last_place_makes_the_browser_poll(monkeypatch):
    monkeypatch.setattr(live, "places", waiting.Places(most=0))
    assert list(live._frames(str, 0.0)) == [b"event: full\ndata: poll instead\n\n"]


def test_stored_report_is_shown_in_a_frame_that_reaches_nothing(
    admin_client, tmp_path, monkeypatch
):
    monkeypatch.setattr(reports, "folder", lambda: tmp_path)
    (tmp_path / "secret.html").write_text("secret")
    run = tmp_path / "2026-11-29T10-00-00Z-seed-1"
    run.mkdir()
    (run / "report.html").write_text("<p>verdict</p>")
    listed = admin_client.get("/dashboard/reports").content.decode()
    assert "2026-11-29 10:00:00" in listed
    shown = admin_client.get(f"/dashboard/reports/{run.name}/page")
    assert b"".join(shown.streaming_content) == b"<p>verdict</p>"
    assert shown.headers["Content-Security-Policy"].startswith("sandbox;")
    assert shown.headers["X-Frame-Options"] == "SAMEORIGIN"
    for name in ("..", ".", "%2e%2e", "none"):
        assert admin_client.get(f"/dashboard/reports/{name}/page").status_code == 404


def test_colours_can_be_told_apart_in_the_light_and_in_the_dark():
    """4.5 to 1, as WCAG 2.2 wants it of text (1.4.3)."""
    css = (Path(dashboard.__file__).parent / "static/dashboard/dashboard.css").read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+): #(\w{6})", part)) for part in css.split("@media")[:2]
    )
    for scheme in (light, dark):
        for ground in ("page", "raised"):
            for name in ("text", "quiet", "link", "good", "bad", "warn", "info"):
                assert contrast(scheme[name], scheme[ground]) >= 4.5, f"{name} on {ground}"


def contrast(colour: str, background: str) -> float:
    lighter, darker = sorted((luminance(colour), luminance(background)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG's relative luminance of an sRGB colour."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
