import pytest

from loadtests.load.client import BadAnswer, Connections, post


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}", (202, b"{}")),
        (b"HTTP/1.1 409 Conflict\r\ncontent-length:0\r\n\r\n", (409, b"")),
        (
            b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            (202, b"abc0123456789"),
        ),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_answer_is_read_completely_however_it_arrives(
    answer: bytes, expected: tuple[int, bytes], piece: int
) -> None:
    connections, _ = _connections_to(answer, piece)
    assert connections.exchange(request=b"POST") == expected


def test_connection_is_used_again_after_a_complete_answer() -> None:
    connections = Connections(host="127.0.0.1", port=1)
    opened = _opens(connections)
    assert [connections.exchange(request=b"POST") for _ in range(2)] == [(200, b"{}")] * 2
    assert [connection.sent for connection in opened] == [[b"POST"] * 2]


def test_connection_that_was_idle_for_long_is_not_trusted_with_a_request() -> None:
    now = iter([100.0, 104.0, 104.0, 110.0, 110.0])
    connections = Connections(host="127.0.0.1", port=1, clock=lambda: next(now))
    opened = _opens(connections)
    for _ in range(3):
        connections.exchange(request=b"POST")
    first, second = opened
    assert (len(first.sent), len(second.sent)) == (2, 1)
    assert (first.is_closed, second.is_closed) == (True, False)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}"])
def test_answer_that_breaks_off_is_an_error(answer: bytes) -> None:
    connections, pipe = _connections_to(answer, 1000)
    with pytest.raises(BadAnswer, match="closed before"):
        connections.exchange(request=b"POST")
    assert pipe.is_closed


def test_answer_of_unknown_length_is_an_error() -> None:
    connections, _ = _connections_to(b"HTTP/1.1 200 OK\r\n\r\n{}", 1000)
    with pytest.raises(BadAnswer, match="unknown length"):
        connections.exchange(request=b"POST")


def test_request_is_encoded_with_its_length() -> None:
    encoded = post(host="127.0.0.1:3000", path="/checkout/saga", body=b'{"a":1}')
    assert encoded.startswith(b"POST /checkout/saga HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n")
    assert encoded.endswith(b'Content-Length: 7\r\n\r\n{"a":1}')


class _Pipe:
    """A connection whose other side sends its answer in pieces."""

    def __init__(self, answer: bytes, piece: int) -> None:
        self.sent: list[bytes] = []
        self.is_closed = False
        self._pieces = iter(
            [answer[start : start + piece] for start in range(0, len(answer), piece)]
        )

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, most: int) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        self.is_closed = True


def _connections_to(answer: bytes, piece: int) -> tuple[Connections, _Pipe]:
    connections, pipe = Connections(host="127.0.0.1", port=1), _Pipe(answer, piece)
    connections._connect = lambda: pipe  # type: ignore[assignment, method-assign, return-value]
    return connections, pipe


def _opens(connections: Connections) -> list[_Pipe]:
    """The connections that it opens from now on; each answers twice."""
    opened: list[_Pipe] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def opened_now() -> _Pipe:
        opened.append(_Pipe(answer * 2, len(answer)))
        return opened[-1]

    connections._connect = opened_now  # type: ignore[assignment, method-assign]
    return opened
