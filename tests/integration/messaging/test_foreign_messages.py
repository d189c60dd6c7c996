"""A foreign program publishes any message: the queue goes on, and the message is shown."""

import struct
import threading

import msgspec
import pika
import psycopg
import pytest
from django.apps import apps
from pika import frame, spec

from contracts import events
from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from contracts.events import InvalidMessage
from contracts.topology import queue_of
from inventario.models import FailedMessage, Product
from messaging import consumer as consumer_module
from messaging import failed
from messaging.brokers import Delivery, Message
from messaging.consumer import Consumer
from tests.broker.adapters import adapter
from tests.integration.messaging.conftest import message_of
from tests.threads import InThread
from tests.unit.messaging.test_decode import READABLE, UNREADABLE
from tests.waiting import eventually

REACTIONS = apps.get_app_config("inventario").reactions()
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "inventario"])
SERVICE = "inventario"
HEALTHY = 40

_TIME_IN_MILLISECONDS = b"\x01tT" + struct.pack(">Q", 1_772_000_000_000)


def of_another_program(initiated):
    """A type that is known here, in a message that is otherwise foreign."""
    event = initiated()
    other = [b'{"order": 7}', b"[]", b"null", b'"text"', b'{"saga_id": "another"}']
    return [
        events.encode(
            msgspec.structs.replace(
                event, id=str(number), data=events.Facts(context=msgspec.Raw(context))
            )
        )
        for number, context in enumerate(other)
    ]


@pytest.fixture(params=["rabbitmq", "postgres"])
def foreign(request):
    yield from adapter(request.param)


class Outsider:
    """Publishes to the service's queue as a foreign program does."""

    def __init__(self, adapter):
        self._adapter = adapter
        self._queue = adapter.namespace + queue_of(service=SERVICE)

    def publish(self, bodies):
        if self._adapter.name == "postgres":
            self._insert(bodies)
        else:
            self._publish(bodies)

    def _insert(self, bodies):
        schema = f"{self._adapter.namespace}dueto_broker"
        with psycopg.connect(self._adapter.url) as connection:
            connection.cursor().executemany(
                f'INSERT INTO "{schema}".message (queue, id, type, body, speaker)'
                " VALUES (%s, %s, %s, %s, '')",
                [(queue_of(service=SERVICE), "i" * 300, "\x01 odd", body) for body in bodies],
            )

    def _publish(self, bodies):
        rich = pika.BasicProperties(
            message_id="x" * 255, headers={"a": {"b": [1]}}, priority=9, correlation_id="c"
        )
        with pika.BlockingConnection(pika.URLParameters(self._adapter.url)) as connection:
            channel = connection.channel()
            for body in bodies:
                channel.basic_publish("", self._queue, body, rich)
            self._with_unreadable_headers(connection, channel)

    def _with_unreadable_headers(self, connection, channel):
        """pika would not write them: a field of type T that is no time in seconds."""
        table = _TIME_IN_MILLISECONDS
        method = spec.Basic.Publish(exchange="", routing_key=self._queue)
        head = struct.pack(">HHQH", spec.Basic.INDEX, 0, 2, 1 << 13)
        head += struct.pack(">I", len(table)) + table
        frames = frame.Method(channel.channel_number, method).marshal()
        frames += struct.pack(">BHI", 2, channel.channel_number, len(head)) + head + b"\xce"
        frames += frame.Body(channel.channel_number, b"{}").marshal()
        connection._impl._adapter_emit_data(frames)
        connection.process_data_events()
        channel.queue_declare(self._queue, passive=True)  # it has arrived


@pytest.fixture
def running(foreign):
    """The service's consumer in a thread, as a worker runs it."""
    consumer = Consumer(service=SERVICE, broker=foreign.open(), reactions=REACTIONS)
    consumer.broker.declare(queue=consumer.queue, events=["checkout.checkout.initiated"])
    stop = threading.Event()
    thread = InThread(lambda: consumer.run(stop), service=SERVICE)
    yield consumer
    stop.set()
    thread.result()


def test_consumer_goes_on_whatever_a_foreign_program_publishes(
    foreign, running, initiated, product, admin_client
):
    Product.objects.update(available=1000, initial=1000)
    healthy = [message_of(initiated()) for _ in range(HEALTHY)]
    large = b"[" + b"1," * (10 * 1024 * 1024) + b"1]"
    bodies = [*UNREADABLE.values(), *READABLE.values(), *of_another_program(initiated), large]
    publisher, outsider = foreign.open(), Outsider(foreign)
    publisher.publish(healthy[: HEALTHY // 2])
    outsider.publish(bodies)
    publisher.publish(healthy[HEALTHY // 2 :])
    eventually(lambda: available(product) == 1000 - HEALTHY, what="all healthy ones are handled")
    # One more came, with unreadable headers. The rest of it is of a known saga, without a reaction
    # here.
    broken = len(bodies) - len(READABLE) + (foreign.name == "rabbitmq")
    eventually(
        lambda: FailedMessage.objects.count() == broken, what="all others are stored as failed"
    )
    assert running.counters()["messages_of_no_use"] == len(READABLE)
    assert running.complaints() == []
    are_shown(admin_client)


def available(product):
    return Product.objects.get(pk=product.pk).available


def are_shown(client):
    """In the admin's list and pages, and in the answers of the API."""
    url = "/admin/inventario/failedmessage/"
    assert client.get(url).status_code == 200
    for parked in FailedMessage.objects.defer("body"):
        page = client.get(f"{url}{parked.pk}/change/")
        assert page.status_code == 200
        assert len(page.content) < MOST_BYTES_OF_A_MESSAGE
        assert parked.reason
    url, shown = "/inventario/messages/parked?page_size=7", 0
    while url:
        page = client.get(url)
        assert page.status_code == 200
        answer = msgspec.json.decode(page.content)
        shown, url = shown + len(answer["results"]), answer["next"]
    assert shown == FailedMessage.objects.count()


def test_control_a_consumer_that_expects_only_errors_of_its_parser_dies(
    broker, initiated, monkeypatch
):
    """Decoded by msgspec alone, with only msgspec's error caught."""
    decoder = msgspec.json.Decoder(events.Event)

    def decode(body):
        try:
            return decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise InvalidMessage(str(error)) from error

    consumer = Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)
    monkeypatch.setattr(consumer_module.events, "decode", decode)
    dead = []
    for kind, body in UNREADABLE.items():
        try:
            consumer.handle([Delivery(Message("1", "t", body), redelivered=False, tag=None)])
        except (UnicodeDecodeError, RecursionError):
            dead.append(kind)
    assert {"no UTF-8 in the id", "very deep context"} <= set(dead)


def test_unreadable_message_that_is_retried_is_parked_again_at_once(broker):
    consumer = Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)
    for body in UNREADABLE.values():
        failed.dead_letter(
            service=SERVICE, message=Message("\0" * 99, "\ud800", body), reason="\0\ud800" * 9999
        )
    ids = list(FailedMessage.objects.values_list("pk", flat=True))
    assert failed.retry(service=SERVICE, ids=ids) == ids
    while consumer.retry_failed():
        pass
    assert set(FailedMessage.objects.values_list("status", "attempts")) == {("dead_lettered", 1)}
