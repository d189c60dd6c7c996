"""The bytes of the hot paths are those that pika would write and read."""

from __future__ import annotations

import random
import struct

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from messaging.brokers import Delivery, Message
from messaging.brokers.rabbitmq_frames import (
    Confirm,
    FrameReader,
    ack_frame,
    publish_frames,
    requeue_frame,
)

CHANNEL = 3
SMALL_FRAMES = 64
BODIES = [b"", b"{}", b"x" * (SMALL_FRAMES - 8), b"y" * (3 * SMALL_FRAMES + 5)]


def content(message: Message, properties: pika.BasicProperties, piece: int) -> bytes:
    body = message.body
    frames = [frame.Header(CHANNEL, len(body), properties)]
    frames += [
        frame.Body(CHANNEL, body[start : start + piece]) for start in range(0, len(body), piece)
    ]
    return b"".join(item.marshal() for item in frames)


def properties_of(message: Message) -> pika.BasicProperties:
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=2,
        message_id=message.id,
        type=message.type,
    )


def delivered(
    message: Message,
    tag: int,
    properties: pika.BasicProperties | None = None,
    piece: int = SMALL_FRAMES - 8,
) -> bytes:
    method = spec.Basic.Deliver("ctag", tag, False, "saga_events", message.type)
    head: bytes = frame.Method(CHANNEL, method).marshal()
    return head + content(message, properties or properties_of(message), piece)


class Reader(FrameReader):
    """A reader that notes what it passes on."""

    def __init__(self) -> None:
        self.passed = b""
        super().__init__(pass_on=self.note)

    def note(self, data: bytes) -> None:
        self.passed += data


@pytest.mark.parametrize("body", BODIES, ids=len)
def test_publishes_as_pika_does(body: bytes) -> None:
    message = Message("id-ñ", "inventory.reserved", body)
    method = spec.Basic.Publish(
        exchange="ns.saga_events", routing_key=message.type, mandatory=True, immediate=False
    )
    expected = frame.Method(CHANNEL, method).marshal() + content(
        message, properties_of(message), SMALL_FRAMES - 8
    )
    written = publish_frames(
        [message, message], channel=CHANNEL, namespace="ns.", frame_max=SMALL_FRAMES
    )
    assert written == expected * 2


@pytest.mark.parametrize("multiple", [True, False])
def test_acknowledges_as_pika_does(multiple: bool) -> None:
    expected = frame.Method(CHANNEL, spec.Basic.Ack(2**40, multiple)).marshal()
    assert ack_frame(channel=CHANNEL, tag=2**40, multiple=multiple) == expected


def test_requeues_as_pika_does() -> None:
    expected = frame.Method(CHANNEL, spec.Basic.Nack(7, False, True)).marshal()
    assert requeue_frame(channel=CHANNEL, tag=7) == expected


@pytest.mark.parametrize("seed", range(20))
def test_reads_frames_however_the_socket_cuts_them(seed: int) -> None:
    chance = random.Random(seed)
    sent = [Message(f"id-{n}", "thing.happened", chance.choice(BODIES)) for n in range(30)]
    heartbeat = frame.Heartbeat().marshal()
    closing = frame.Method(CHANNEL, spec.Channel.Close(404, "gone", 0, 0)).marshal()
    confirm = frame.Method(1, spec.Basic.Ack(5, True)).marshal()
    stream = b"".join(heartbeat + delivered(item, tag) for tag, item in enumerate(sent, 1))
    stream += confirm + closing
    reader, read = Reader(), 0
    while stream:
        size = chance.randint(1, 300)
        read += reader.feed(stream[:size])
        stream = stream[size:]
    assert reader.deliveries == {
        CHANNEL: [Delivery(item, False, tag) for tag, item in enumerate(sent, 1)]
    }
    assert reader.confirms == {1: [Confirm(5, True)]}
    assert reader.passed == heartbeat * 30 + closing
    assert read == sum(len(delivered(item, 1)) for item in sent) + len(confirm)


def test_reads_the_id_among_properties_of_other_clients() -> None:
    message = Message("theirs", "thing.happened", b"{}")
    theirs = pika.BasicProperties(message_id="theirs", headers={"x-delivery-count": 3}, priority=1)
    reader = Reader()
    reader.feed(delivered(message, 1, theirs) + delivered(message, 2, pika.BasicProperties()))
    assert [item.message.id for item in reader.deliveries[CHANNEL]] == ["theirs", ""]


TIME_IN_MILLISECONDS = 1_772_000_000_000
ODD_HEADERS = {
    "a time in milliseconds": b"\x01tT" + struct.pack(">Q", TIME_IN_MILLISECONDS),
    "a type that nobody knows": b"\x01t?",
    "names that are no UTF-8": b"\x02\xf1\xf1V",
    "a table that ends in the middle": b"\x09t",
}


def with_headers(table: bytes, *, message_id: bytes) -> bytes:
    """The frames of a delivery with these bytes as its table of headers."""
    flags = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7
    head = struct.pack(">HHQH", spec.Basic.INDEX, 0, 2, flags)
    listed = b"\x00" + struct.pack(">I", len(table)) + table + b"\x02"
    payload = head + listed + bytes((len(message_id),)) + message_id
    method = spec.Basic.Deliver("ctag", 1, False, "saga_events", "thing.happened")
    start = struct.pack(">BHI", spec.FRAME_HEADER, CHANNEL, len(payload))
    written: bytes = frame.Method(CHANNEL, method).marshal() + start + payload + b"\xce"
    return written + frame.Body(CHANNEL, b"{}").marshal()


@pytest.mark.parametrize("kind", ODD_HEADERS)
def test_reads_on_past_headers_that_nobody_can_read(kind: str) -> None:
    reader = Reader()
    reader.feed(with_headers(ODD_HEADERS[kind], message_id=b"theirs"))
    assert [item.message for item in reader.deliveries[CHANNEL]] == [
        Message("theirs", "thing.happened", b"{}")
    ]


def test_control_pika_falls_over_such_a_header() -> None:
    """It would cost the connection, at each delivery."""
    table = ODD_HEADERS["a time in milliseconds"]
    listed = struct.pack(">HI", 1 << 13, len(table)) + table
    with pytest.raises((ValueError, OverflowError)):
        pika.BasicProperties().decode(listed)


@given(st.binary(max_size=80), st.integers(0, 2**16 - 1), st.binary(max_size=8))
def test_never_falls_over_properties_names_or_ids(
    properties: bytes, flags: int, name: bytes
) -> None:
    payload = struct.pack(">HHQH", spec.Basic.INDEX, 0, 2, flags) + properties
    head = struct.pack(">BHI", spec.FRAME_HEADER, CHANNEL, len(payload)) + payload + b"\xce"
    deliver = struct.pack(">HHBQBB", 60, 60, 0, 1, 0, 0) + bytes((len(name),)) + name
    method = struct.pack(">BHI", spec.FRAME_METHOD, CHANNEL, len(deliver)) + deliver + b"\xce"
    reader = Reader()
    reader.feed(method + head + frame.Body(CHANNEL, b"{}").marshal())
    (delivery,) = reader.deliveries[CHANNEL]
    assert delivery.message.type == name.decode(errors="replace")
    assert delivery.message.body == b"{}"


def test_keeps_no_more_of_a_large_body_than_shows_that_it_is_one() -> None:
    large = Message("large", "thing.happened", b"x" * (3 * MOST_BYTES_OF_A_MESSAGE))
    small = Message("small", "thing.happened", b"{}")
    reader = Reader()
    reader.feed(delivered(large, 1, piece=131_064) + delivered(small, 2))
    kept = [item.message for item in reader.deliveries[CHANNEL]]
    assert [len(item.body) for item in kept] == [MOST_BYTES_OF_A_MESSAGE + 1, 2]


def test_leaves_returned_messages_to_pika() -> None:
    message = Message("id", "thing.happened", b"{}")
    returned = frame.Method(CHANNEL, spec.Basic.Return(312, "NO_ROUTE", "saga_events", "x"))
    stream = returned.marshal() + content(message, properties_of(message), SMALL_FRAMES - 8)
    reader = Reader()
    assert reader.feed(stream) == 0
    assert reader.passed == stream
    assert reader.deliveries == {}
