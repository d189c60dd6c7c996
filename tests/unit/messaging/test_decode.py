"""Any published message is an event or an InvalidMessage, and an event can be stored."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events
from contracts.bounds import MOST_BYTES_OF_A_MESSAGE, MOST_DEPTH_OF_A_MESSAGE
from contracts.events import Event, Facts, InvalidMessage
from contracts.outcomes import Failure

CONTEXT = {"saga_id": "s", "items": [{"product_id": "p", "quantity": 1}], "street": "Mañana 3"}


def body(**changed: Any) -> bytes:
    """An event's body with other values; None removes a field."""
    fields: dict[str, Any] = {
        "id": "e",
        "type": "inventory.reserved",
        "saga_id": "s",
        "saga": "checkout",
        "occurred_at": "2026-11-28T08:00:00Z",
        "data": {"context": CONTEXT, "result": {"reservation_id": "r"}},
    }
    kept = {name: value for name, value in (fields | changed).items() if value is not None}
    return json.dumps(kept, ensure_ascii=False).encode(errors="surrogatepass")


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def data(**changed: Any) -> dict[str, Any]:
    return {"context": CONTEXT, **changed}


UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{ not json",
    "another kind of JSON": b"[1, 2]",
    "half of it": body()[:-10],
    "more than it": body() + b"}",
    "no UTF-8 in the id": body(id="EE").replace(b"EE", b"\xf1"),
    "no UTF-8 in the type": body(type="EE").replace(b"EE", b"\xf1"),
    "no UTF-8 inside the context": body().replace("ñ".encode(), b"\xf1"),
    "no UTF-8 inside the result": body(data=data(result={"a": "EE"})).replace(b"EE", b"\xff"),
    "a surrogate as bytes": body(data=data(result={"a": "\ud800"})),
    "half a character, escaped": body(id="EE").replace(b"EE", rb"\ude00"),
    "half a character inside the context": body().replace("ñ".encode(), rb"\ud83d"),
    "a NUL in the id": body(id="a\0"),
    "a NUL inside the context": body(data={"context": {"a": "\0"}}),
    "deep context": body(data={"context": nested(MOST_DEPTH_OF_A_MESSAGE)}),
    "very deep context": body(data={"context": "EE"}).replace(
        b'"EE"', b"[" * 50_000 + b"]" * 50_000
    ),
    "deep result": body(data=data(result={"a": nested(500)})),
    "deep in an unknown field": body(other=nested(500)),
    "depth that texts seem to close": body(other=json.loads('["]]]]", ' * 200 + "1" + "]" * 200)),
    "large": body(data={"context": "x" * MOST_BYTES_OF_A_MESSAGE}),
    "a number of 5,000 digits": body(data=data(result={"a": "EE"})).replace(b'"EE"', b"9" * 5000),
    "a number beyond all": body(data=data(result={"a": "EE"})).replace(b'"EE"', b"1e999"),
    "the year 1, with an offset": body(occurred_at="0001-01-01T00:00:00+14:00"),
    "the year 9999, with an offset": body(occurred_at="9999-12-31T23:59:59-14:00"),
    "a time without an offset": body(occurred_at="2026-11-28T08:00:00"),
    "no time": body(occurred_at="soon"),
    "requested at the end of time": body(data=data(requested_at="9999-12-31T23:59:59-14:00")),
    "an id longer than its column": body(id="x" * 65),
    "no id": body(id=""),
    "an empty saga_id": body(saga_id=""),
    "a long saga_id": body(saga_id="x" * 65),
    "a long type": body(type="x" * 300),
    "a long cause": body(cause_id="x" * 65),
    "a long code": body(data=data(failure={"step": "charge", "code": "x" * 65})),
    "a number for an id": body(id=7),
    "a text for a flag": body(redrive="yes"),
    "a list for data": body(data=[]),
    "no data": body(data=None),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_broken_message_is_an_invalid_message(kind: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        events.decode(UNREADABLE[kind])
    assert str(refused.value).strip()


def test_control_a_plain_decoder_accepts_them_or_fails() -> None:
    """Without the guard these reach the handlers, or end the consumer's thread."""
    decoder = msgspec.json.Decoder(Event)
    passed, fell = [], []
    for kind, broken in UNREADABLE.items():
        try:
            decoder.decode(broken)
            passed.append(kind)
        except msgspec.MsgspecError:
            pass
        except (UnicodeDecodeError, RecursionError):
            fell.append(kind)
    assert {"no UTF-8 inside the context", "a NUL in the id", "deep result"} <= set(passed)
    assert {"no UTF-8 in the id", "very deep context"} <= set(fell)


READABLE: dict[str, bytes] = {
    "usual": body(),
    "as deep as it may be": body(data={"context": nested(MOST_DEPTH_OF_A_MESSAGE - 3)}),
    "many lines": body(data={"context": {"items": [{"a": ["]]}", '"[[']}] * 2_000}}),
    "escaped backslashes before u": body(data={"context": {"a": r"\u0000 \ud800"}}),
    "a character of two halves": body(id="EE").replace(b"EE", rb"\ud83d\ude00"),
    "a large number": body(data=data(result={"a": 10**30})),
    "fields of a later version": body(more={"a": 1}),
}


@pytest.mark.parametrize("kind", READABLE)
def test_message_within_the_bounds_is_read(kind: str) -> None:
    event = events.decode(READABLE[kind])
    assert events.decode(events.encode(event)) == event


times = st.datetimes(datetime(2000, 1, 1), datetime(2999, 12, 31), timezones=st.just(UTC))
texts = st.text(min_size=1, max_size=64).filter(lambda text: "\0" not in text)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@st.composite
def valid(draw: Callable[[Any], Any]) -> Event:
    plain = st.text().filter(lambda text: "\0" not in text)
    return Event(
        id=draw(texts),
        type=draw(texts),
        saga_id=draw(texts),
        saga=draw(texts),
        occurred_at=draw(st.datetimes(datetime(2000, 1, 1), datetime(2999, 12, 31))).replace(
            tzinfo=UTC
        ),
        data=Facts(
            context=msgspec.Raw(msgspec.json.encode(draw(st.dictionaries(plain, plain)))),
            result=draw(st.dictionaries(plain, plain | st.integers(-(2**63), 2**63))),
            failure=draw(st.none() | st.builds(Failure, texts, texts, plain)),
        ),
        redrive=draw(st.booleans()),
    )


@given(valid())
def test_every_event_that_can_be_published_can_be_read(event: Event) -> None:
    assert events.decode(events.encode(event)) == event


def read_or_refused(damaged: bytes) -> None:
    """Raises only InvalidMessage; an event that is read can be stored, and published again."""
    try:
        event = events.decode(damaged)
    except InvalidMessage:
        return
    encoded = events.encode(event).decode()
    assert "\0" not in str(msgspec.json.decode(encoded))
    event.occurred_at.astimezone(UTC)


@given(st.binary())
def test_random_bytes_are_read_or_refused(damaged: bytes) -> None:
    read_or_refused(damaged)


@given(valid(), st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=6)), max_size=5))
def test_mutated_messages_are_read_or_refused(
    event: Event, changes: list[tuple[int, bytes]]
) -> None:
    damaged = events.encode(event)
    for at, piece in changes:
        at %= len(damaged) + 1
        damaged = damaged[:at] + piece + damaged[at + len(piece) :]
    read_or_refused(damaged)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(json.loads(body()), values)))
def test_other_values_are_read_or_refused(changed: dict[str, Any]) -> None:
    read_or_refused(msgspec.json.encode(json.loads(body()) | changed))
