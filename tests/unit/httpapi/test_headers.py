"""The headers of every answer, of errors too, keep browsers from sniffing, caching and scripts."""

from io import BytesIO

import pytest
from django.core.wsgi import get_wsgi_application

from httpapi.middleware import Gateway

GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def asked(path: str, *, process: Gateway | None = None, **variables: str) -> tuple[int, dict]:
    """The status, and the headers."""
    seen: list[tuple[int, dict]] = []

    def start_response(status, headers, *error):
        assert len({name for name, _ in headers}) == len(headers), "a header is there twice"
        seen.append((int(status[:3]), dict(headers)))

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(),
        **variables,
    }
    response = (process or Gateway(get_wsgi_application()))(environ, start_response)
    b"".join(response)
    if hasattr(response, "close"):  # a file, as the server does
        response.close()
    return seen[-1]


@pytest.mark.parametrize(
    ("status", "path", "variables"),
    [
        (200, "/health/live", {}),
        (200, "/openapi.json", {}),
        (404, "/nothing", {}),
        (405, "/health/live", {"REQUEST_METHOD": "POST"}),
        (400, "/carts", {"HTTP_HOST": "elsewhere.example"}),
        (414, "/" + "a" * 3000, {}),
        (400, "/carts", {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "9"}),
    ],
)
def test_answers_with_data_and_errors_are_guarded(status, path, variables):
    received, headers = asked(path, **variables)
    assert received == status
    assert headers.items() >= GUARDS.items()


def test_answer_that_no_view_gives_is_guarded():
    def never(environ, start_response):
        raise AssertionError("it is turned away before")

    status, headers = asked(
        "/carts", process=Gateway(never, is_shut=lambda *_: True), REQUEST_METHOD="POST"
    )
    assert (status, headers.items() >= GUARDS.items()) == (503, True)


def test_page_of_documents_runs_nothing_and_is_in_no_frame():
    _, headers = asked("/docs")
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy


def test_file_of_the_admin_may_be_kept_and_is_of_this_site_alone():
    status, headers = asked("/static/admin/css/base.css")
    assert status == 200
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" not in headers["Cache-Control"]
    assert "Access-Control-Allow-Origin" not in headers
