"""The services' ways to the servers: each leads through a TCP proxy, where it can be cut."""

from urllib.parse import parse_qs, urlsplit

from checker.soak.plan import POSTGRES, RABBITMQ
from stack.proxy import Proxy

LOOPBACK = "127.0.0.1"


class Detours:
    """`through` is a stack's detour; afterwards there is a proxy in front of each server."""

    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}

    def through(self, url: str) -> str:
        """The same URL by way of the server's proxy, over TCP even where it names a socket."""
        parts = urlsplit(url)
        server = POSTGRES if parts.scheme.startswith("postgres") else RABBITMQ
        if server not in self._proxies:
            port = parts.port or int(parse_qs(parts.query)["port"][0])
            self._proxies[server] = Proxy(LOOPBACK, port)
        login = parts.netloc.rpartition("@")[0]
        place = f"{LOOPBACK}:{self._proxies[server].port}"
        return parts._replace(netloc=f"{login}@{place}", query="").geturl()

    def cut(self, server: str) -> None:
        """Ends all connections to it; there are no new ones until `mend`."""
        self._proxies[server].refuse()

    def mend(self, server: str) -> None:
        self._proxies[server].listen()

    def close(self) -> None:
        """Ends all of it; the stack must have stopped."""
        for proxy in self._proxies.values():
            proxy.close()
