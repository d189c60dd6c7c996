"""Hosts in a URL: one host, or those of a broker of several nodes. It …"""

import pytest

from contracts.nearness import each_host, host_of, is_near


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("amqp://u:p@rabbit.example:5672/%2F", "rabbit.example"),
        ("amqp://u:p@a.example:1,b.example:2/%2F?heartbeat=5", "a.example,b.example"),
        ("amqp://u:p,w@a.example,b.example", "a.example,b.example"),
        ("amqp://u:p@[::1]:1,[2001:db8::1]:2/", "[::1],[2001:db8::1]"),
        ("http://127.0.0.1:3000/a,b:1@c", "127.0.0.1"),
        ("memory", ""),
    ],
)
def test_names_all_hosts(url: str, hosts: str) -> None:
    assert host_of(url) == hosts


def test_is_near_only_with_all_its_hosts() -> None:
    assert is_near(host_of("amqp://u:p@127.0.0.1:1,[::1]:2,localhost:3/%2F"))
    assert not is_near(host_of("amqp://u:p@127.0.0.1:1,rabbit.example:2/%2F"))


def test_gives_the_url_of_each_host() -> None:
    assert each_host("amqp://u:p,w@a:1,b,[::1]:3/%2F?heartbeat=5") == [
        "amqp://u:p,w@a:1/%2F?heartbeat=5",
        "amqp://u:p,w@b/%2F?heartbeat=5",
        "amqp://u:p,w@[::1]:3/%2F?heartbeat=5",
    ]
    assert each_host("amqp://u:p@a:1/%2F") == ["amqp://u:p@a:1/%2F"]
    assert each_host("amqp:///") == ["amqp:///"]


@pytest.mark.parametrize("places", ["a,", ",a", "a,,b"])
def test_refuses_a_host_that_is_missing(places: str) -> None:
    with pytest.raises(ValueError, match="missing beside a comma"):
        each_host(f"amqp://u:p@{places}/%2F")
