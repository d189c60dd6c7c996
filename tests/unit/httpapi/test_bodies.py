"""A body is read completely before any work on it; a body that broke off is refused."""

import json
from collections.abc import Iterator
from io import BytesIO

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import RequestFactory

from contracts import bounds
from contracts.bounds import MOST_BYTES, MOST_BYTES_OF_ONE, MOST_DEPTH
from contracts.doors import PUBLIC, door
from httpapi import authentication, docs, health
from httpapi import json as bodies
from httpapi.middleware import UNUSABLE, Gateway, RequestContext


def taken_in(body: bytes, **headers: str) -> dict:
    """The environ as the application sees it."""
    seen = {}

    class Response(list):
        streaming = False

        def close(self):
            """Nothing is open."""

    def application(environ, start_response):
        seen.update(environ)
        return Response()

    environ = {"PATH_INFO": "/carts", "wsgi.input": BytesIO(body)}
    assert Gateway(application)({**environ, **headers}, lambda *_: None) == [b""]
    return seen


def test_chunked_body_has_its_length():
    seen = taken_in(b"hello", HTTP_TRANSFER_ENCODING="chunked")
    assert (seen["CONTENT_LENGTH"], seen["wsgi.input"].read()) == ("5", b"hello")
    assert "HTTP_TRANSFER_ENCODING" not in seen


@pytest.mark.parametrize(
    "headers",
    [{"CONTENT_LENGTH": "9"}, {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO()}],
)
def test_body_that_broke_off_is_not_taken_for_a_shorter_one(headers):
    assert taken_in(b"hello", **headers)[UNUSABLE].code == "incomplete_body"


def test_body_over_the_limit_is_not_kept():
    seen = taken_in(b" " * (MOST_BYTES + 1), CONTENT_LENGTH=str(MOST_BYTES + 1))
    assert (seen[UNUSABLE].status, seen["CONTENT_LENGTH"]) == (413, "0")


def test_django_takes_what_the_gateway_takes():
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE == MOST_BYTES


# Its contents


class Anything:
    """A view that takes any body."""

    @door(PUBLIC, most_bytes=MOST_BYTES)
    def post(self):
        """Never called."""

    get = delete = post


def asked(body: bytes, *, method: str = "POST", **headers: str):
    """The answer of a door that takes lists."""
    kind = {"content_type": "application/json", **headers}
    request = RequestFactory().generic(method, "/carts", body, **kind)
    return admitted(request, Anything)


def admitted(request, view):
    """The answer of this view, or the refusal before it."""
    context = RequestContext(lambda _: HttpResponse())
    return context.process_view(request, view) or context(request)


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"{}", {"HTTP_CONTENT_ENCODING": "gzip"}, 415, "gzip"),
        (b"{}", {"content_type": "application/json; charset=latin-1"}, 415, "latin-1"),
        (b"a=1", {"content_type": "application/x-www-form-urlencoded"}, 415, "form-urlencoded"),
        (b"{}", {"content_type": ""}, 415, "nothing named"),
        (b'{"a":"' + b"x" * MOST_BYTES_OF_ONE + b'"}', {}, 413, "65,536"),
        (b" " * (MOST_BYTES + 1), {}, 413, "8,388,608"),
        (b"[" * 5000 + b"]" * 5000, {}, 400, "32"),
        (b'{"a":"\xf1"}', {}, 400, "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', {}, 400, "UTF-8"),
        (b"\xef\xbb\xbf{}", {}, 400, "not JSON"),
        (b'{"a":NaN}', {}, 400, "NaN"),
        (b'{"a":-Infinity}', {}, 400, "Infinity"),
        (b'{"a":{"b":1,"b":1}}', {}, 400, "'b' is there twice"),
        (b'{"a":' + b"9" * 5000 + b"}", {}, 400, "digits"),
        (b'{"a":', {}, 400, "not JSON"),
        (b"  ", {}, 400, "not JSON"),
        (b'{"a":[{"b":"\\u0000"}]}', {}, 400, "a[0].b: the character U+0000"),
        (b'{"a":"\\ud83d"}', {}, 400, "a: the character U+D83D"),
    ],
)
def test_ambiguous_body_is_refused_with_the_reason(body, headers, status, reason):
    answer = asked(body, **headers)
    assert (answer.status_code, reason in json.loads(answer.content)["detail"]) == (status, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_body_of_a_method_that_takes_none_is_refused(method):
    assert json.loads(asked(b"{}", method=method).content)["code"] == "unexpected_body"


@pytest.mark.undocumented
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {"content_type": ""}),
        (b'{"a":"\\ud83d\\ude00"}', {}),
        (b'{"a":"\\\\u0000"}', {}),
        (b"{}", {"content_type": 'application/json; charset="UTF-8"'}),
        (b"[" + b'{"a":[{}]},' * 999 + b"{}]", {}),
        (b"[" + b" " * MOST_BYTES_OF_ONE + b"]", {}),
    ],
)
def test_unambiguous_body_is_accepted(body, headers):
    assert asked(body, **headers).status_code == 200


def test_depth_is_that_of_lists_and_objects_and_not_of_texts():
    assert bounds.is_deeper(b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1), than=MOST_DEPTH)
    assert not bounds.is_deeper(b"[" * MOST_DEPTH + b"]" * MOST_DEPTH, than=MOST_DEPTH)
    assert not bounds.is_deeper(b'["' + b"[" * 100 + b'\\"{"]', than=MOST_DEPTH)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/carts/%00", 400),
        ("/carts?page=%ff", 400),
        ("/carts?page=%00", 400),
        ("/carts?" + "a=1&" * 200, 400),
        ("/carts/" + "a" * 3000, 414),
        ("/carts?a=" + "a" * 40_000, 414),
    ],
)
def test_absurd_address_is_refused(path, status):
    request = RequestFactory().get(path)
    assert RequestContext(lambda _: HttpResponse())(request).status_code == status


class OnlyOne:
    """A view of which one door takes lists, of some products."""

    @door(PUBLIC)
    def post(self):
        """Never called."""

    @door(PUBLIC, most_bytes=bounds.MOST_BYTES_OF_MANY)
    def put(self):
        """Never called."""


@pytest.mark.parametrize(
    ("method", "length", "status"),
    [
        ("POST", MOST_BYTES_OF_ONE, 200),
        ("POST", MOST_BYTES_OF_ONE + 1, 413),
        ("PUT", bounds.MOST_BYTES_OF_MANY, 200),
        ("PUT", bounds.MOST_BYTES_OF_MANY + 1, 413),
    ],
)
def test_list_is_as_long_as_its_door_says(method, length, status):
    body = b"[" + b" " * (length - 2) + b"]"
    request = RequestFactory().generic(method, "/", body, content_type="application/json")
    assert admitted(request, OnlyOne).status_code == status


def test_too_long_body_is_refused_before_its_token_is_checked(monkeypatch):
    monkeypatch.setattr(
        authentication, "admit", lambda *asked: pytest.fail("the token was looked at")
    )
    body = b"[" * (MOST_BYTES_OF_ONE + 1)
    request = RequestFactory().post("/", body, content_type="application/json")
    assert admitted(request, OnlyOne).status_code == 413


FOREIGN = [
    {"HTTP_ORIGIN": "http://evil.example"},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_ORIGIN": "http://testserver:81"},
    {"HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_SEC_FETCH_SITE": "same-site"},
]


@pytest.mark.parametrize("auth", ["demo", "required"])
@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
def test_web_page_of_another_origin_does_not_act(settings, auth, foreign):
    settings.AUTH = auth
    for body in (b"", b"{}"):
        request = RequestFactory().generic("POST", "/", body, "text/plain", **foreign)
        answer = admitted(request, OnlyOne)
        assert (answer.status_code, json.loads(answer.content)["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"HTTP_ORIGIN": "http://testserver", "HTTP_SEC_FETCH_SITE": "same-origin"},
        {"HTTP_ORIGIN": "https://shop.example"},
    ],
    ids=str,
)
def test_own_page_and_trusted_pages_may_act(settings, own):
    settings.CSRF_TRUSTED_ORIGINS = ["https://shop.example"]
    assert admitted(RequestFactory().generic("POST", "/", **own), OnlyOne).status_code == 200


def test_without_the_check_of_its_origin_a_page_acts(monkeypatch):
    """The control."""
    monkeypatch.setattr(authentication, "is_of_a_foreign_page", lambda request: False)
    for foreign in FOREIGN:
        request = RequestFactory().generic("POST", "/", **foreign)
        assert admitted(request, OnlyOne).status_code == 200


def test_unknown_host_is_refused_before_anything_is_done():
    request = RequestFactory().post("/carts", HTTP_HOST="evil.example")
    assert RequestContext(lambda _: pytest.fail("it was done"))(request).status_code == 400


@pytest.mark.undocumented
@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("localhost", "http://localhost"),
        ("localhost:3000", "http://localhost:3000"),
        ("localhost:13000", "http://localhost:13000"),
        ("localhost:666", "http://localhost:3000"),
        ("[::1]", "http://[::1]"),
        ("[::1]:666", "http://[::1]:3000"),
    ],
)
def test_location_names_only_our_ports(host, location, settings):
    settings.PUBLISHED_PORTS = {"13000"}
    request = RequestFactory().get("/carts", HTTP_HOST=host, SERVER_PORT="3000")
    response = RequestContext(lambda request: HttpResponse(request.build_absolute_uri("/carts/1")))(
        request
    )
    assert response.content.decode() == f"{location}/carts/1"


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_health_is_only_read(method):
    answer = admitted(RequestFactory().generic(method, "/health"), health.live)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("view", [docs.page, docs.openapi, docs.messages])
def test_documents_are_only_read(view):
    answer = admitted(RequestFactory().post("/docs"), view)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


class Counted(list[tuple[str, int]]):
    """Counts the iterations over it."""

    times = 0

    def __iter__(self) -> Iterator[tuple[str, int]]:
        self.times += 1
        return super().__iter__()


def test_duplicate_field_is_found_in_one_pass() -> None:
    """Checked name by name, 64 kB of names took two seconds."""
    pairs = Counted([*((str(number), number) for number in range(10_000)), ("0", 0)])
    with pytest.raises(ValueError, match="'0' is there twice"):
        bodies._once_each(pairs)
    assert pairs.times == 1
