"""Whatever properties a foreign program gives its message, they cost no connection."""

from __future__ import annotations

import struct

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import spec
from pika.frame import Header, decode_frame

from messaging.brokers import rabbitmq_link

ODD_HEADERS = {
    "a time in milliseconds": b"\x01tT" + struct.pack(">Q", 1_772_000_000_000),
    "an unknown type": b"\x01t?",
    "names that are no UTF-8": b"\x02\xf1\xf1V",
    "a table that ends in the middle": b"\x09t",
}


def header_frame(flags: int, properties: bytes) -> bytes:
    payload = struct.pack(">HHQH", spec.Basic.INDEX, 0, 2, flags) + properties
    return struct.pack(">BHI", spec.FRAME_HEADER, 3, len(payload)) + payload + b"\xce"


def with_headers(table: bytes) -> bytes:
    """A header frame with these bytes as its table of headers, between other properties."""
    flags = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7
    listed = b"\x04json" + struct.pack(">I", len(table)) + table + b"\x02"
    return header_frame(flags, listed + b"\x06theirs")


@pytest.mark.parametrize("kind", ODD_HEADERS)
def test_reads_on_past_unreadable_headers(kind: str) -> None:
    _, frame = decode_frame(with_headers(ODD_HEADERS[kind]))
    assert isinstance(frame, Header)
    read = frame.properties
    assert (read.content_type, read.delivery_mode, read.message_id) == ("json", 2, "theirs")


def test_control_pika_fails_at_such_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost the connection, at each delivery."""
    monkeypatch.setitem(spec.props, spec.Basic.INDEX, pika.BasicProperties)
    with pytest.raises((ValueError, OverflowError)):
        decode_frame(with_headers(ODD_HEADERS["a time in milliseconds"]))


@given(st.binary(max_size=80), st.integers(0, 2**16 - 1))
def test_never_fails_at_properties(properties: bytes, flags: int) -> None:
    size, frame = decode_frame(header_frame(flags, properties))
    assert size == len(header_frame(flags, properties))
    assert isinstance(frame, Header)
    assert isinstance(frame.properties, rabbitmq_link.Properties)
