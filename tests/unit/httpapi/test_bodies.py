"""A body is read whole before it is worked on, however it was sent; what broke off is told so."""

import json
from io import BytesIO

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import RequestFactory

from contracts import bounds
from contracts.bounds import MOST_BYTES, MOST_BYTES_OF_ONE, MOST_DEPTH
from httpapi import docs
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

    environ = {"PATH_INFO": "/carts", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": BytesIO(body)}
    assert Gateway(application)({**environ, **headers}, lambda *_: None) == [b""]
    return seen


def test_chunked_body_has_its_length():
    seen = taken_in(b"hello", HTTP_TRANSFER_ENCODING="chunked")
    assert (seen["CONTENT_LENGTH"], seen["wsgi.input"].read()) == ("5", b"hello")
    assert "HTTP_TRANSFER_ENCODING" not in seen


def test_body_of_http_2_needs_no_length():
    assert taken_in(b"hello", SERVER_PROTOCOL="HTTP/2")["CONTENT_LENGTH"] == "5"


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


# What it says


def asked(body: bytes, *, method: str = "POST", **headers: str):
    """The answer of a door that would be content with anything."""
    kind = {"content_type": "application/json", **headers}
    request = RequestFactory().generic(method, "/carts", body, **kind)
    return RequestContext(lambda _: HttpResponse())(request)


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
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
def test_body_that_could_not_be_read_as_meant_is_told_why(body, headers, status, says):
    answer = asked(body, **headers)
    assert (answer.status_code, says in json.loads(answer.content)["detail"]) == (status, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_body_that_nobody_would_read_is_refused(method):
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
def test_whatever_means_one_thing_alone_is_let_through(body, headers):
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


def test_unknown_host_is_refused_before_anything_is_done():
    request = RequestFactory().post("/carts", HTTP_HOST="evil.example")
    assert RequestContext(lambda _: pytest.fail("it was done"))(request).status_code == 400


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_health_is_only_looked_at(method):
    answer = RequestContext(lambda _: HttpResponse())(RequestFactory().generic(method, "/health"))
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("view", [docs.page, docs.openapi, docs.messages])
def test_documents_are_only_read(view):
    answer = view(RequestFactory().post("/docs"))
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
