"""Logins, their tokens, and the rights of each group: tokens, groups, the admin's pages."""

import re
from datetime import timedelta
from typing import Any

import jwt
import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from accounts import groups, logins, tokens
from accounts.models import RefreshToken
from catalogue.services import WITH_DATABASE
from contracts.doors import declared
from dashboard.urls import urlpatterns as dashboard_urls
from httpapi import authentication, identity, rates
from httpapi.keys import PEOPLE
from pagos.models import Payment
from saga_orchestrator.models import Definition, Intervention, Saga
from tests.admin_pages import url_of
from tests.security.conftest import Issuer, bearer
from tests.security.test_identity import refusal, request
from tests.security.test_matrix import ROWS_OF_PAGES, Row

pytestmark = pytest.mark.django_db(databases=[*WITH_DATABASE, "default"])
PASSWORD = "a long one, made up for this"
OF_THE_API = {"/token", "/token/refresh", "/.well-known/jwks.json"}
"""Doors of the dashboard that are no pages."""


@pytest.fixture
def accounts(required: Issuer, settings: Any) -> Issuer:
    """This process has the accounts, too."""
    settings.ACCOUNTS_KEY = str(required.holders.folder / f"{PEOPLE}.json")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    tokens.forget()
    rates.forget()
    yield required
    tokens.forget()


def person(name: str = "ana", *in_groups: str, **fields: Any) -> Any:
    made = get_user_model().objects.create_user(name, password=PASSWORD, **fields)
    made.groups.set(Group.objects.filter(name__in=in_groups))
    return made


def log_in(name: str = "ana", password: str = PASSWORD, **more: Any) -> Any:
    body = {"username": name, "password": password}
    return Client().post("/token", body, content_type="application/json", **more)


def renew(token: str) -> Any:
    body = {"refresh_token": token}
    return Client().post("/token/refresh", body, content_type="application/json")


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


class TestToken:
    def test_name_and_password_give_a_token_that_services_believe(self, accounts: Issuer) -> None:
        person("ana", "operator")
        answered = log_in()
        given = answered.json()
        assert not answered.cookies, "it is no session"
        assert given["token_type"] == "Bearer"
        assert given["expires_in"] == 15 * 60
        assert given["scope"] == "ops:act ops:read shop"
        decoded = claims(given["access_token"])
        assert (decoded["iss"], decoded["sub"], decoded["aud"]) == (
            "dueto-accounts",
            "ana",
            "dueto",
        )
        assert decoded["exp"] - decoded["iat"] == 15 * 60
        assert refusal(request(given["access_token"]), declared("ops:act")) == 200
        assert refusal(request(given["access_token"]), declared("catalogue:write")) == 403

    def test_merchant_is_named_in_its_token(self, accounts: Issuer) -> None:
        person("acme", "merchant")
        decoded = claims(log_in("acme").json()["access_token"])
        assert decoded["merchant"] == "acme"
        assert decoded["scope"] == "catalogue:write payments:read payments:write shop"

    def test_person_in_no_group_may_shop(self, accounts: Issuer) -> None:
        person()
        assert log_in().json()["scope"] == "shop"

    @pytest.mark.parametrize("name", ["ana", "nobody"])
    def test_wrong_password_is_401_and_the_sixth_429(self, accounts: Issuer, name: str) -> None:
        person()
        wrong = [log_in(name, "wrong") for _ in range(6)]
        assert [given.status_code for given in wrong] == [401] * 5 + [429]
        assert wrong[0].json()["code"] == "wrong_login"
        assert wrong[-1].headers["Retry-After"] == "900"
        assert log_in(name).status_code == 429, "the right one neither, now"

    def test_person_who_is_shut_out_is_let_in_after_15_minutes(self, accounts: Issuer) -> None:
        person()
        for _ in range(6):
            log_in("ana", "wrong")
        ago = timezone.now() - timedelta(minutes=15, seconds=1)
        AccessAttempt.objects.update(attempt_time=ago)
        assert log_in().status_code == 200

    def test_address_that_tries_one_name_after_the_other_is_shut_out(
        self, accounts: Issuer, monkeypatch: Any
    ) -> None:
        now = [1_000.0]
        monkeypatch.setattr(rates, "monotonic", lambda: now[0])
        person()
        tries = [log_in(f"guess-{n}", "wrong").status_code for n in range(logins.TRIES_AT_ONCE)]
        assert tries == [401] * logins.TRIES_AT_ONCE
        refused = log_in()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_logins")
        assert refused.headers["Retry-After"] == str(60 // logins.TRIES_A_MINUTE)
        assert log_in(REMOTE_ADDR="192.0.2.1").status_code == 200
        form = {"username": "ana", "password": PASSWORD}
        page = Client().post("/admin/login/", form)
        assert (
            page.status_code,
            "Logins from this address are refused" in page.content.decode(),
        ) == (
            429,
            True,
        )
        now[0] += 60 / logins.TRIES_A_MINUTE
        assert [log_in().status_code for _ in range(2)] == [200, 429]

    def test_others_log_in_meanwhile(self, accounts: Issuer) -> None:
        """Another name from the same address, and the same name from another address."""
        person()
        person("ben")
        for _ in range(6):
            log_in("ana", "wrong")
        assert log_in("ben").status_code == 200
        assert log_in("ana", REMOTE_ADDR="192.0.2.1").status_code == 200

    def test_good_login_begins_the_count_anew(self, accounts: Issuer) -> None:
        person()
        tries = [*["wrong"] * 4, PASSWORD, *["wrong"] * 4, PASSWORD]
        assert [log_in("ana", word).status_code for word in tries] == ([401] * 4 + [200]) * 2

    def test_deactivated_person_gets_no_token(self, accounts: Issuer) -> None:
        ana = person()
        refresh = log_in().json()["refresh_token"]
        ana.is_active = False
        ana.save()
        assert log_in().status_code == 401
        assert renew(refresh).status_code == 401

    @pytest.mark.parametrize("name", ["x" * 65, "two words"])
    def test_name_that_is_no_user_id_is_refused(self, accounts: Issuer, name: str) -> None:
        person(name)
        assert log_in(name).status_code == 403

    def test_login_without_a_key_names_the_reason(self, accounts: Issuer, settings: Any) -> None:
        settings.ACCOUNTS_KEY, settings.AUTH = "", "demo"
        person()
        for given in (log_in(), Client().get("/.well-known/jwks.json")):
            assert given.status_code == 503
            assert given.json()["code"] == "no_key"

    def test_address_behind_a_proxy_is_taken_from_its_header(self, settings: Any) -> None:
        asked = request(HTTP_X_FORWARDED_FOR="192.0.2.7")
        assert logins.address_of(asked) == "127.0.0.1", "the header of an unnamed proxy is ignored"
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        assert logins.address_of(asked) == "192.0.2.7"


class TestRefresh:
    def test_it_rotates(self, accounts: Issuer) -> None:
        person()
        first = log_in().json()
        second = renew(first["refresh_token"])
        assert second.status_code == 200
        assert second.json()["refresh_token"] != first["refresh_token"]
        assert refusal(request(second.json()["access_token"])) == 200
        assert renew(second.json()["refresh_token"]).status_code == 200

    def test_used_twice_it_ends_all_of_its_login_and_no_other(self, accounts: Issuer) -> None:
        person()
        stolen, other = log_in().json(), log_in().json()
        renewed = renew(stolen["refresh_token"]).json()
        assert renew(stolen["refresh_token"]).status_code == 401
        assert renew(renewed["refresh_token"]).status_code == 401
        assert renew(other["refresh_token"]).status_code == 200

    def test_it_lasts_8_hours_from_the_login_on(self, accounts: Issuer) -> None:
        person()
        given = renew(log_in().json()["refresh_token"]).json()
        (open_one,) = RefreshToken.objects.filter(used_at=None)
        lasts = open_one.expires_at - timezone.now()
        assert timedelta(hours=7, minutes=59) < lasts <= timedelta(hours=8)
        RefreshToken.objects.update(expires_at=timezone.now())
        assert renew(given["refresh_token"]).status_code == 401

    def test_it_is_kept_nowhere(self, accounts: Issuer) -> None:
        person()
        token = log_in().json()["refresh_token"]
        kept = RefreshToken.objects.values_list()[0]
        assert token not in map(str, kept)
        assert renew("another").status_code == 401

    def test_new_groups_count_from_the_next_token_on(self, accounts: Issuer) -> None:
        ana = person()
        given = log_in().json()
        ana.groups.set(Group.objects.filter(name="viewer"))
        assert renew(given["refresh_token"]).json()["scope"] == "ops:read shop"


def test_published_keys_are_public_and_verify_what_was_signed(accounts: Issuer) -> None:
    person()
    given = Client().get("/.well-known/jwks.json")
    assert given.headers["Cache-Control"] == "public, max-age=300"
    (key,) = given.json()["keys"]
    assert "d" not in key
    token = log_in().json()["access_token"]
    decoded = jwt.decode(
        token, jwt.PyJWK.from_dict(key, "EdDSA").key, algorithms=["EdDSA"], audience="dueto"
    )
    assert decoded["sub"] == "ana"


ACTIONS = {"retry", "skip", "undo", "discard", "resume", "approve", "reject"}


def actions_of(user: Any) -> set[str]:
    """All actions and buttons that the admin offers this person for the shop's records."""
    asked = request()
    asked.user = user
    return {
        name
        for model, shown in admin.site._registry.items()
        if model._meta.app_label in WITH_DATABASE
        for name in shown.get_actions(asked)
    }


class TestGroups:
    def test_viewer_looks_and_does_nothing(self) -> None:
        viewer = person("vera", "viewer", is_staff=True)
        assert actions_of(viewer) == set()
        assert viewer.has_perms(["saga_orchestrator.view_saga", "pagos.view_payment"])
        granted = Permission.objects.filter(group__name="viewer")
        assert granted.exclude(codename__startswith="view_").count() == 0
        assert granted.exclude(content_type__app_label__in=WITH_DATABASE).count() == 0

    def test_operator_acts_and_changes_no_login(self) -> None:
        operator = person("olga", "operator", is_staff=True)
        assert actions_of(operator) == ACTIONS
        pauses = admin.site._registry[_model("carrito", "Pause")]
        asked = request()
        asked.user = operator
        assert pauses.has_add_permission(asked)
        assert not any(
            operator.has_module_perms(app) for app in ("auth", "accounts", "axes", "sessions")
        )
        assert not operator.has_perm("inventario.change_product")

    def test_admin_keeps_the_catalogue_and_the_people(self) -> None:
        boss = person("ada", "admin", is_staff=True)
        assert actions_of(boss) - {"delete_selected"} == ACTIONS
        assert boss.has_perms(
            ["inventario.change_product", "inventario.add_product", "auth.change_user"]
        )

    def test_merchant_has_no_part_in_the_admin(self) -> None:
        assert not person("acme", "merchant").get_all_permissions()

    def test_scopes_follow_the_groups(self) -> None:
        both = person("olga", "operator", "merchant")
        assert groups.scopes_of(both) == (
            groups.SCOPES["operator"] | groups.SCOPES["merchant"] | {"shop"}
        )
        assert len(groups.scopes_of(person("root", is_superuser=True))) == 6

    def test_admin_makes_no_superuser_and_changes_none(self, client: Client) -> None:
        root = person("root", is_superuser=True, is_staff=True)
        boss = person("ada", "admin", is_staff=True)
        client.force_login(boss)
        assert client.get(url_of(type(root), "change", root.pk)).status_code == 302
        assert client.get(f"/admin/auth/user/{root.pk}/password/").status_code in (302, 403, 404)
        fields = {
            "username": "ada",
            "is_superuser": "on",
            "is_active": "on",
            "is_staff": "on",
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
        }
        client.post(url_of(type(boss), "change", boss.pk), fields)
        boss.refresh_from_db()
        assert not boss.is_superuser
        assert root.pk in {user.pk for user in get_user_model().objects.all()}


def _model(app: str, name: str) -> Any:
    return next(
        model
        for model in admin.site._registry
        if model._meta.app_label == app and model.__name__ == name
    )


def admin_urls() -> list[str]:
    """Every path below /admin/ (and the dashboard's), with something in the place of parameters."""

    def below(patterns: Any, before: str) -> Any:
        for pattern in patterns:
            path = before + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from below(pattern.url_patterns, path)
            else:
                yield path

    paths = below(get_resolver().url_patterns, "/")
    return sorted({_filled(path) for path in paths if path.startswith(("/admin/", "/dashboard/"))})


def _filled(path: str) -> str:
    path = re.sub(r"\(\?P<app_label>[^)]*\)", "carrito", path).replace("^", "").replace("$", "")
    path = path.replace("(?P<url>.*)", "nowhere")
    path = re.sub(r"<int:content_type_id>", "1", path)
    return re.sub(r"<(?:\w+:)?\w+>", "1", path)


FOR_ALL = {"/admin/login/", "/admin/logout/", "/admin/jsi18n/"}
"""Without a person: the login, and its translations."""
FOR_STAFF = {
    *("/admin/", "/admin/autocomplete/", "/admin/r/1/1/"),
    *("/admin/password_change/", "/admin/password_change/done/", "/admin/nowhere"),
}
"""The pages of the admin that are open to every staff user: they show nothing of the shop."""


def test_every_page_needs_a_login(client: Client) -> None:
    assert len(admin_urls()) > 100
    for path in set(admin_urls()) - FOR_ALL:
        given = client.get(path)
        assert given.status_code == 302, path
        assert given.headers["Location"].startswith("/admin/login/"), path


def test_every_page_needs_a_permission(client: Client) -> None:
    client.force_login(person("eve", is_staff=True))
    for path in set(admin_urls()) - FOR_ALL - FOR_STAFF:
        given = client.get(path)
        # The admin redirects from an unknown object.
        is_away = re.fullmatch(r"/admin/|.*/change/", given.headers.get("Location", ""))
        assert given.status_code in (403, 404, 405) or is_away, path


def _filled_in(row: Row) -> list[str]:
    """The paths that a row is tried at."""
    if "{service}" not in row.path:
        return [re.sub(r"{\w+}", "unknown", row.path)]
    models = [model for model in admin.site._registry if model._meta.app_label in settings.SERVICES]
    page, key = ("change", ["9"]) if "change" in row.path else ("changelist", [])
    return [url_of(model, page, *key) for model in models]


SENT: dict[str, dict[str, str]] = {
    "/token": {"username": "{role}", "password": "wrong"},
    "/token/refresh": {"refresh_token": "unknown"},
    "/dashboard/sagas/{saga_id}/act": {"action": "retry"},
    "/dashboard/race/break": {"service": "nobody", "what": "stop"},
    "/admin/saga_orchestrator/saga/": {
        "action": "undo",
        "_selected_action": "of-{role}",
        "reason": "a test",
    },
    "/admin/pagos/payment/": {"action": "delete_selected", "_selected_action": "p", "post": "yes"},
    "/admin/inventario/product/add/": {"name": "A", "price": "1", "sku": "{role}", "initial": "1"},
    "/admin/auth/user/add/": {
        "username": "new-{role}",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
    },
}


@pytest.mark.parametrize("row", ROWS_OF_PAGES, ids=lambda row: f"{row.method} {row.path}")
def test_page_is_open_as_the_matrix_says(
    accounts: Issuer, monkeypatch: pytest.MonkeyPatch, row: Row
) -> None:
    monkeypatch.setattr(authentication, "_own_names", lambda: ["dashboard"])
    people = {
        "owner": person("ana"),
        "other": person("ben"),
        "merchant": person("mia", groups.MERCHANT),
        "operator": person("olga", groups.OPERATOR, is_staff=True),
        "admin": person("ada", groups.ADMIN, is_staff=True),
    }
    Payment.objects.create(id="p", amount=5, payment_method="paypal", status="captured")
    steps = Definition.objects.create(digest="d", name="checkout", steps=[])
    for role in row.statuses:
        Saga.objects.create(
            saga_id=f"of-{role}",
            name="checkout",
            pattern="orchestrated",
            definition=steps,
            subject="c",
            context={},
            status="parked",
            deadline_at=timezone.now(),
        )
    wrong = []
    for role, status in row.statuses.items():
        client = Client()
        token = accounts.service("carrito", to="dashboard")
        headers = bearer(token) if role == "service_token" else {}
        if role in people:
            client.force_login(people[role])
        sent = SENT.get(row.path, {}) if row.method == "POST" else {}
        kind = {"content_type": "application/json"} if row.path.startswith("/token") else {}
        data = {key: value.format(role=role) for key, value in sent.items()}
        more = {"data": data, **kind} if sent else {}
        for path in _filled_in(row):
            given = getattr(client, row.method.lower())(path, headers=headers, **more)
            if given.status_code != status:
                wrong.append(f"{path} as {role}: {given.status_code}, not {status}")
    assert wrong == []
    assert Payment.objects.get().status == "captured"
    undone = set(Intervention.objects.values_list("saga_id", flat=True))
    assert undone == ({"of-operator", "of-admin"} if "of-{role}" in str(sent) else set())


@pytest.mark.parametrize(
    "path", sorted({row.path for row in ROWS_OF_PAGES if row.method == "POST"} - OF_THE_API)
)
def test_form_of_another_site_is_refused(path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("ada", groups.ADMIN, is_staff=True))
    path = re.sub(r"{\w+}", "unknown", path)
    assert client.post(path, {}).status_code == 403


def test_every_page_of_the_dashboard_has_a_row() -> None:
    paths = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{page.pattern}") for page in dashboard_urls}
    assert paths == {
        row.path
        for row in ROWS_OF_PAGES
        if row.service == "dashboard" and row.path not in OF_THE_API
    }


def test_bearer_token_is_no_session(accounts: Issuer, client: Client) -> None:
    token = accounts.user("ana", scope="ops:read ops:act")
    assert client.get("/admin/", headers=bearer(token)).status_code == 302


def test_admins_login_is_shut_after_five_wrong_tries(client: Client, settings: Any) -> None:
    person("ana", is_staff=True)
    fields = {"username": "ana", "password": "wrong"}
    tried = [client.post("/admin/login/", fields).status_code for _ in range(6)]
    assert tried == [200] * 5 + [429]
    assert "15 minutes" in client.post("/admin/login/", fields).content.decode()


def test_dashboard_acts_in_the_name_of_its_user(accounts: Issuer) -> None:
    olga = person("olga", "operator", is_staff=True)
    header = tokens.headers_of(olga)["Authorization"].removeprefix("Bearer ")
    decoded = claims(header)
    assert (decoded["sub"], decoded["via"]) == ("olga", "dashboard")
    assert tokens.headers_of(olga)["Authorization"].endswith(header), "it is kept"
    asked = request(header)
    assert refusal(asked, declared("ops:act")) == 200
    assert identity.of(asked).via == "dashboard"
    olga.groups.clear()
    assert claims(tokens.headers_of(olga)["Authorization"].split()[1])["scope"] == "shop"


def test_dashboard_asks_without_a_token_where_it_has_no_key(settings: Any) -> None:
    settings.ACCOUNTS_KEY = ""
    assert tokens.headers_of(person()) == {}


def test_saga_list_needs_the_right_to_see_it(client: Client) -> None:
    client.force_login(person("vera", "viewer", is_staff=True))
    assert client.get(url_of(Saga, "changelist")).status_code == 200
    assert client.get("/admin/auth/user/").status_code == 403
