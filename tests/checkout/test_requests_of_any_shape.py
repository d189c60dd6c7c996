"""Bodies of any shape, sent to a real server over a plain socket."""

import json
import socket
from urllib.parse import urlsplit

import pytest

SECONDS = 30


def ask(shop, request: bytes, body: bytes = b"") -> tuple[int, dict]:
    """Status and body of carrito's answer."""
    door = urlsplit(shop.stack.urls["carrito"])
    lines = request + b"\r\nHost: localhost\r\nConnection: close\r\n"
    lines += b"Content-Type: application/json\r\n"
    with socket.create_connection((door.hostname, door.port), timeout=SECONDS) as link:
        link.sendall(lines + (b"\r\n" if b"\r\n\r\n" not in body else b"") + body)
        response = b"".join(iter(lambda: link.recv(65536), b""))
    head, _, content = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content or b"{}")


def chunked(*chunks: bytes) -> bytes:
    sent = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"Transfer-Encoding: chunked\r\n\r\n" + sent + b"0\r\n\r\n"


@pytest.fixture
def item(shop) -> bytes:
    """The path of a cart's only item."""
    product = shop.product(quantity=10)
    return f"/carts/{shop.cart(product=product)}/items/{product}".encode()


def test_chunked_body_is_read(shop, item):
    status, cart = ask(shop, b"PATCH " + item + b" HTTP/1.1", chunked(b'{"quan', b'tity": 7}'))
    assert (status, cart["items"][0]["quantity"]) == (200, 7)


@pytest.mark.parametrize(
    "body",
    [
        b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_invalid_chunks_change_nothing(shop, item, body):
    status, answer = ask(shop, b"PATCH " + item + b" HTTP/1.1", body)
    assert (status, answer.get("code", "incomplete_body")) == (400, "incomplete_body")


def test_body_that_is_far_too_long_is_refused_and_not_cut_off(shop):
    body = b"[" + b" " * (20 * 1024 * 1024)
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    assert ask(shop, b"POST /carts HTTP/1.1", length + body)[0] == 413


@pytest.mark.parametrize("path", [b"/carts/%00", b"/carts/%ff", b"/carts/" + b"a" * 5000])
def test_absurd_path_is_no_bug(shop, path):
    assert ask(shop, b"GET " + path + b" HTTP/1.1")[0] in (400, 404, 414)
