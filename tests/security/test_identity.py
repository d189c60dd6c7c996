"""Authentication: the valid tokens, and the requests that need none."""

import time
from typing import Any

import jwt
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from accounts.holders import OF_PEOPLE, PEOPLE_SECONDS
from contracts.doors import OPS_READ, PUBLIC, SHOP, declared
from httpapi import authentication, identity, json, keys
from httpapi.keys import ALL, PEOPLE, SERVICE, USER
from httpapi.middleware import UNUSABLE, RequestContext
from httpapi.problems import Problem
from tests.security.conftest import Issuer, bearer

OWN = declared(SHOP)
STEP = declared(callers=["saga_orchestrator"])


def request(token: str = "", **more: Any) -> HttpRequest:
    headers = bearer(token) if token else {}
    return RequestFactory().get("/", headers=headers, SERVER_NAME="localhost", **more)


def refusal(asked: HttpRequest, door: Any = OWN) -> int:
    """The status of its refusal; 200 if the door admits it."""
    try:
        authentication.admit(asked, door, authentication.presented(asked, door))
    except Problem as error:
        return error.status
    return 200


def test_person_is_known_by_their_token(required: Issuer) -> None:
    asked = request(required.user("ana"))
    assert refusal(asked) == 200
    assert identity.of(asked).sub == identity.owner(asked) == "ana"


def test_person_who_may_see_all_is_not_limited_to_their_own(required: Issuer) -> None:
    asked = request(required.user("olga", scope="ops:read shop"))
    assert refusal(asked, declared(SHOP, OPS_READ)) == 200
    assert identity.owner(asked) is None
    assert refusal(asked) == 200
    assert identity.owner(asked) == "olga"


def test_word_before_the_token_is_read_in_any_case(required: Issuer) -> None:
    asked = request()
    asked.META["HTTP_AUTHORIZATION"] = f"bEaReR {required.user()}"
    assert refusal(asked) == 200


def test_missing_scope_is_forbidden(required: Issuer) -> None:
    assert refusal(request(required.user(scope="payments:read"))) == 403


def test_step_is_for_its_orchestrator_alone(required: Issuer) -> None:
    to = {"to": "carrito"}
    assert refusal(request(required.service("saga_orchestrator", **to)), STEP) == 200
    assert refusal(request(required.service("pagos", **to)), STEP) == 403
    assert refusal(request(required.user(scope="shop ops:act")), STEP) == 403


def test_service_is_no_shopper(required: Issuer) -> None:
    assert refusal(request(required.service("pagos", to="carrito"))) == 403


def bad_tokens() -> dict[str, Any]:
    people = {"iss": PEOPLE, "aud": ALL, "sub": "ana", "scope": "shop", "iat": int(time.time())}
    good = {**people, "exp": int(time.time()) + 60}

    def signed_by(issuer: Issuer, holder: str, kind: str, **claims: Any) -> str:
        return issuer.holders.signer(holder).sign(kind=kind, seconds=60, **claims)

    def public(issuer: Issuer) -> dict[str, Any]:
        return keys.public(issuer.holders.keys_of(PEOPLE)[-1])

    return {
        "rubbish": lambda issuer: "a.b.c",
        "too long": lambda issuer: issuer.user(scope="x" * 2_100),
        "of an hour ago": lambda issuer: issuer.user(seconds=-3_600),
        "of tomorrow": lambda issuer: issuer.user(nbf=int(time.time()) + 86_400),
        "for another audience": lambda issuer: issuer.user(aud="another"),
        "by another issuer": lambda issuer: issuer.user(iss="another"),
        "without a subject": lambda issuer: issuer.user(sub=""),
        "of a subject of two lines": lambda issuer: issuer.user(sub="ana\n"),
        "with a long subject": lambda issuer: issuer.user("x" * 65),
        "for another service": lambda issuer: issuer.service("saga_orchestrator", to="pagos"),
        "a service's as a person's": lambda issuer: signed_by(
            issuer, "carrito", USER, aud=ALL, sub="ana", scope="shop"
        ),
        "a person's as a service's": lambda issuer: signed_by(
            issuer, PEOPLE, SERVICE, aud="carrito"
        ),
        "under another service's name": lambda issuer: signed_by(
            issuer, "pagos", SERVICE, aud="carrito", iss="saga_orchestrator"
        ),
        "of no kind": lambda issuer: signed_by(issuer, PEOPLE, "JWT", aud=ALL, sub="ana"),
        "by nobody (none)": lambda issuer: issuer.forged(
            None, algorithm="none", claims=good, kid=public(issuer)["kid"], typ=USER
        ),
        "by the public key as a secret": lambda issuer: issuer.forged(
            public(issuer)["x"] + "=" * 21,
            algorithm="HS256",
            claims=good,
            kid=public(issuer)["kid"],
            typ=USER,
        ),
        "by a key of one's own": lambda issuer: issuer.forged(
            jwt.PyJWK.from_dict(keys.new(holder=PEOPLE), "EdDSA").key,
            algorithm="EdDSA",
            claims=good,
            kid=public(issuer)["kid"],
            typ=USER,
        ),
        "by a key that nobody has published": lambda issuer: issuer.forged(
            jwt.PyJWK.from_dict(keys.new(holder=PEOPLE), "EdDSA").key,
            algorithm="EdDSA",
            claims=good,
            kid="another",
            typ=USER,
        ),
        "without an end": lambda issuer: issuer.forged(
            jwt.PyJWK.from_dict(issuer.holders.keys_of(PEOPLE)[-1], "EdDSA").key,
            algorithm="EdDSA",
            claims=people,
            kid=public(issuer)["kid"],
            typ=USER,
        ),
    }


@pytest.mark.parametrize("what", bad_tokens())
def test_bad_token_is_refused(required: Issuer, what: str) -> None:
    token = bad_tokens()[what](required)
    assert refusal(request(token)) == 401
    assert refusal(request(token), STEP) == 401
    assert refusal(request(token), declared(PUBLIC)) == 401


def test_refusal_names_the_scheme_and_the_error(required: Issuer) -> None:
    answered = Client().get("/carts/1")
    assert answered.status_code == 401
    assert answered.headers["WWW-Authenticate"] == "Bearer"
    answered = Client().get("/carts/1", headers=bearer("a.b.c"))
    assert answered.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answered.json()["code"] == "unauthenticated"


def test_two_tokens_are_none(required: Issuer) -> None:
    token = required.user()
    assert refusal(request(f"{token},Bearer {token}")) == 400


def test_token_is_verified_once(required: Issuer) -> None:
    token, before = required.user(), authentication.verified
    for _ in range(100):
        assert refusal(request(token)) == 200
    assert authentication.verified == before + 1


def test_token_is_remembered_no_longer_than_it_lasts(required: Issuer, monkeypatch: Any) -> None:
    token = required.user(seconds=60)
    assert refusal(request(token)) == 200
    before, later = authentication.verified, time.time() + 60 + authentication.LEEWAY + 1
    monkeypatch.setattr(authentication.time, "time", lambda: later)
    refusal(request(token))
    assert authentication.verified == before + 1


def test_revoked_person_is_out_in_some_seconds(required: Issuer, monkeypatch: Any) -> None:
    token, others = required.user("ana"), required.user("ben")
    assert refusal(request(token)) == 200
    revoked = required.holders.folder / "public" / authentication.REVOKED
    revoked.write_bytes(json.encode({"sub": ["ana"]}))
    monkeypatch.setattr(keys, "FILE_SECONDS", 0.0)
    assert refusal(request(token)) == 401
    assert refusal(request(others)) == 200


def test_token_of_a_key_that_is_gone_is_out_in_some_seconds(
    required: Issuer, monkeypatch: Any
) -> None:
    """Also a token that was seen before: after the theft of a key its tokens are refused."""
    stolen = required.user("ana")
    assert refusal(request(stolen)) == 200
    required.holders.renew([PEOPLE], after=0)
    later = time.time() + PEOPLE_SECONDS + 1
    monkeypatch.setattr("accounts.holders.time.time", lambda: later)
    assert required.holders.retire([PEOPLE])
    monkeypatch.undo()
    monkeypatch.setattr(keys, "FILE_SECONDS", 0.0)
    assert refusal(request(stolen)) == 401
    assert refusal(request(required.user("ana"))) == 200


def test_control_token_that_was_seen_outlives_its_key(required: Issuer, monkeypatch: Any) -> None:
    stolen = required.user("ana")
    assert refusal(request(stolen)) == 200
    (required.holders.folder / OF_PEOPLE).write_bytes(json.encode({"keys": []}))
    monkeypatch.setattr(keys, "FILE_SECONDS", 0.0)
    monkeypatch.setattr(authentication, "_have_keys_changed", lambda: False)
    assert refusal(request(stolen)) == 200


@pytest.mark.parametrize("kind", keys.LONGEST)
def test_no_token_is_valid_for_long(required: Issuer, kind: str) -> None:
    most = keys.LONGEST[kind]
    signed = {
        keys.USER: lambda seconds: required.user(seconds=seconds),
        keys.SERVICE: lambda seconds: required.holders.signer("pagos").sign(
            kind=keys.SERVICE, aud="carrito", seconds=seconds
        ),
    }[kind]
    door = declared("shop", callers=["pagos"])
    assert refusal(request(signed(most)), door) == 200
    assert refusal(request(signed(most + 60)), door) == 401


class TestDemo:
    """Without a token: from this machine only, and from no web page of another origin."""

    @pytest.fixture(autouse=True)
    def demo(self, required: Issuer, settings: Any) -> None:
        settings.AUTH = "demo"

    def test_request_from_this_machine_may_do_everything(self) -> None:
        asked = request()
        assert refusal(asked) == 200
        assert refusal(asked, STEP) == 200
        assert identity.of(asked).is_demo
        assert identity.owner(asked) is None

    @pytest.mark.parametrize(
        "foreign",
        [
            {"REMOTE_ADDR": "192.0.2.1"},
            {"REMOTE_ADDR": ""},
            {"HTTP_FORWARDED": "for=127.0.0.1"},
            {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
            {"HTTP_VIA": "1.1 proxy"},
            {"HTTP_ORIGIN": "http://evil.example"},
            {"HTTP_ORIGIN": "null"},
            {"HTTP_ORIGIN": "http://localhost:1"},
            {"HTTP_SEC_FETCH_SITE": "cross-site"},
            {"HTTP_HOST": "evil.example"},
        ],
        ids=str,
    )
    def test_request_from_elsewhere_needs_a_token(self, required: Issuer, foreign: Any) -> None:
        assert refusal(request(**foreign)) == 401
        assert refusal(request(**foreign), STEP) == 401
        assert refusal(request(required.user(), **foreign)) == 200

    def test_own_page_may_ask(self) -> None:
        own = {"HTTP_ORIGIN": "http://localhost", "HTTP_SEC_FETCH_SITE": "same-origin"}
        assert refusal(request(**own)) == 200

    def test_token_that_is_sent_is_verified(self, required: Issuer) -> None:
        assert refusal(request("a.b.c")) == 401
        assert refusal(request(required.user()), STEP) == 403


def test_view_that_declares_nothing_is_closed(required: Issuer) -> None:
    def silent(request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    asked = request(required.user(scope="shop ops:read ops:act"))
    refused = RequestContext(silent).process_view(asked, silent)
    assert refused is not None
    assert refused.status_code == 403


def test_body_is_read_only_with_a_token(required: Issuer) -> None:
    """The token is verified later: too many requests cost no verification."""
    long = {UNUSABLE: json.too_long(limit=64), "data": b"{}", "content_type": "application/json"}
    before = authentication.verified
    assert Client().post("/carts", **long).status_code == 401
    assert Client().post("/carts", headers=bearer(required.user()), **long).status_code == 413
    assert authentication.verified == before


class TestRotation:
    """New keys are published, then used; old ones are removed when their tokens have expired."""

    def test_new_key_signs_once_it_has_begun(self, required: Issuer) -> None:
        old = required.user()
        (key,) = required.holders.renew([PEOPLE], after=600)
        assert jwt.get_unverified_header(required.user())["kid"] != key["kid"]
        (key,) = required.holders.renew([PEOPLE], after=0)
        new = required.user()
        assert jwt.get_unverified_header(new)["kid"] == key["kid"]
        assert refusal(request(old)) == refusal(request(new)) == 200

    def test_key_is_retired_once_its_tokens_have_ended(
        self, required: Issuer, monkeypatch: Any
    ) -> None:
        (first,) = required.holders.keys_of("pagos")
        required.holders.renew(["pagos"], after=0)
        assert required.holders.retire(["pagos"]) == []
        later = time.time() + keys.SERVICE_SECONDS + 1
        monkeypatch.setattr("accounts.holders.time.time", lambda: later)
        assert required.holders.retire(["pagos"]) == [first]
        assert len(required.holders.keys_of("pagos")) == 1
