"""Shoppers who keep their connections open without using them."""

import contextlib
import http.client
import resource
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

KEPT = 1100
"""More than Granian accepts of itself."""
ENOUGH_FILES = 4096


@pytest.fixture
def _files() -> Iterator[None]:
    """As many open files as this test needs, where this process may have but few."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if usual != resource.RLIM_INFINITY and usual < ENOUGH_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ENOUGH_FILES, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))


@pytest.mark.usefixtures("_files")
def test_idle_connections_block_no_other(stack):
    door = urlsplit(stack.urls["carrito"])
    with contextlib.ExitStack() as kept:
        for _ in range(KEPT):
            connection = http.client.HTTPConnection(door.hostname, door.port, timeout=5)
            kept.enter_context(contextlib.closing(connection))
            connection.request("GET", "/health/live")
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
