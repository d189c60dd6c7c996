"""The hosts that a URL names, and whether they are all on this machine."""

import re
from ipaddress import ip_address

_HOSTS = re.compile(r"://(?:[^/?#]*@)?([^/?#]*)")
_PORT = re.compile(r":[^:\]]*$")


def host_of(url: str) -> str:
    """The host that a URL names, or several with commas between them, as libpq writes them; empty
    if the URL names none.
    """
    return ",".join(_PORT.sub("", place) for place in _places(url))


def each_host(url: str) -> list[str]:
    """The URL once for each host: `amqp://u:p@a:1,b:2/%2F` gives a URL of `a:1` and one of `b:2`.

    Raises ValueError if one of several hosts is empty.
    """
    found = _HOSTS.search(url)
    places = _places(url)
    if found is None or len(places) == 1:
        return [url]
    if not all(places):
        raise ValueError("a host is missing beside a comma")
    return [f"{url[: found.start(1)]}{place}{url[found.end(1) :]}" for place in places]


def _places(url: str) -> list[str]:
    """Each host with its port."""
    found = _HOSTS.search(url)
    return found[1].split(",") if found else [""]


def is_near(host: str) -> bool:
    """Whether all hosts (with commas between them, as libpq writes them) are loopback addresses or
    folders of sockets; an empty host is the default socket.
    """
    return all(_is_near(each.strip()) for each in host.split(","))


def _is_near(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
