"""Opens one AMQP 0-9-1 connection and closes it, to know whether a broker takes clients.

By hand, because only the messaging adapter may import a client library, and because a port that
is open says nothing: RabbitMQ may listen before it lets anybody in.
"""

import socket
import ssl
import struct
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_HEADER = b"AMQP\x00\x00\x09\x01"
_FRAME_END = b"\xce"
_METHOD_FRAME = 1
_START, _START_OK = (10, 10), (10, 11)
_TUNE, _TUNE_OK = (10, 30), (10, 31)
_OPEN, _OPEN_OK = (10, 40), (10, 41)
_CLOSE, _CLOSE_OK = (10, 50), (10, 51)


class BrokerRefused(Exception):
    """The broker answered, and said no: wrong login, wrong virtual host, not AMQP."""


@dataclass(frozen=True)
class Target:
    """The parts of an AMQP URL."""

    host: str
    port: int
    user: str
    password: str
    virtual_host: str
    is_secure: bool

    @classmethod
    def of(cls, url: str) -> "Target":
        parts = urlsplit(url)
        if parts.scheme not in ("amqp", "amqps"):
            raise BrokerRefused(f"a URL of RabbitMQ starts with amqp://, not {parts.scheme!r}")
        secure = parts.scheme == "amqps"
        return cls(
            host=parts.hostname or "localhost",
            port=parts.port or (5671 if secure else 5672),
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            virtual_host=unquote(parts.path[1:]) or "/",
            is_secure=secure,
        )


def check(url: str, *, timeout: float) -> str:
    """Logs in, opens the virtual host, logs out; returns the broker's product and version.

    Raises OSError when it can't be reached, BrokerRefused when it says no.
    """
    target = Target.of(url)
    with socket.create_connection((target.host, target.port), timeout=timeout) as plain:
        if not target.is_secure:
            return _converse(plain, target)
        context = ssl.create_default_context()
        with context.wrap_socket(plain, server_hostname=target.host) as wrapped:
            return _converse(wrapped, target)


def _converse(link: socket.socket, target: Target) -> str:
    link.sendall(_HEADER)
    start = _expect(link, _START)
    login = f"\0{target.user}\0{target.password}".encode()
    _send(
        link,
        _START_OK,
        _table_asking_for_reasons() + _short("PLAIN") + _long(login) + _short("en_US"),
    )
    tune = _expect(link, _TUNE)
    channels, frame_size, _ = struct.unpack(">HIH", tune[:8])
    _send(link, _TUNE_OK, struct.pack(">HIH", channels, frame_size, 0))
    _send(link, _OPEN, _short(target.virtual_host) + _short("") + b"\0")
    _expect(link, _OPEN_OK)
    _send(link, _CLOSE, struct.pack(">H", 200) + _short("") + struct.pack(">HH", 0, 0))
    _expect(link, _CLOSE_OK)
    return f"{_property(start, 'product')} {_property(start, 'version')}".strip()


def _expect(link: socket.socket, method: tuple[int, int]) -> bytes:
    kind, _, size = struct.unpack(">BHI", _read(link, 7))
    if kind != _METHOD_FRAME:
        raise BrokerRefused("what answers there is not an AMQP 0-9-1 broker")
    payload = _read(link, size + 1)[:-1]
    got = struct.unpack(">HH", payload[:4])
    if got == _CLOSE:
        length = payload[6]
        raise BrokerRefused(payload[7 : 7 + length].decode(errors="replace"))
    if got != method:
        raise BrokerRefused(f"it answered with AMQP method {got} instead of {method}")
    return payload[4:]


def _read(link: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = link.recv(count - len(found))
        if not piece:
            raise BrokerRefused("it closed the connection during the login")
        found += piece
    return found


def _send(link: socket.socket, method: tuple[int, int], arguments: bytes) -> None:
    payload = struct.pack(">HH", *method) + arguments
    link.sendall(struct.pack(">BHI", _METHOD_FRAME, 0, len(payload)) + payload + _FRAME_END)


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes([len(raw)]) + raw


def _long(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


def _table_asking_for_reasons() -> bytes:
    """Client properties that make the broker say why it refuses a login."""
    capability = _short("authentication_failure_close") + b"t\x01"
    return _long(_short("capabilities") + b"F" + _long(capability))


def _property(start: bytes, name: str) -> str:
    """A long string of the server's properties, or nothing."""
    _, found, rest = start.partition(_short(name) + b"S")
    if not found:
        return ""
    size = struct.unpack(">I", rest[:4])[0]
    return rest[4 : 4 + size].decode(errors="replace")
