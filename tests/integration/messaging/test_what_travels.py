"""Only the data that a saga's steps need travel."""

import msgspec
import pytest
from django.apps import apps

from carrito.models import Address, Checkout
from catalogue import SAGAS
from catalogue.services import WITH_DATABASE
from contracts import events
from contracts.patterns import PATTERNS
from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Context, Saga, Step
from inventario import operations as inventario
from inventario.models import OutboxEntry as SaidByInventario
from messaging import reactions
from messaging.brokers import Delivery
from messaging.brokers.memory import forget
from messaging.consumer import Consumer
from pagos import operations as pagos
from pagos.models import BarrierEntry, FailedMessage, OutboxEntry, Payment
from participant import sql
from tests.definitions import with_sagas
from tests.integration.messaging.conftest import message_of
from tests.seeded.shop import ADDRESS, Shop

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", *WITH_DATABASE])

TWICE = Saga(
    name="twice",
    subject="cart_id",
    door="/twice",
    abort="twice.abort.requested",
    give_back="twice.return.requested",
    steps=(
        Step("accept", "carrito.accept", COMPENSABLE, done="checkout.initiated", undone="failed"),
        Step(
            "put_aside",
            "inventario.reserve",
            COMPENSABLE,
            done="inventory.reserved",
            refused="inventory.refused",
            undone="inventory.released",
        ),
        Step(
            "pay",
            "pagos.charge",
            COMPENSABLE,
            done="payment.made",
            refused="payment.refused",
            undone="payment.refunded",
            needs={"amount": "total_amount"},
        ),
        Step(
            "pay_again",
            "pagos.charge",
            COMPENSABLE,
            done="payment.repeated",
            refused="repetition.refused",
            undone="repetition.refunded",
            needs={"amount": "pay.amount"},
        ),
        Step(
            "sell",
            "inventario.commit",
            PIVOT,
            done="sold",
            refused="unsold",
            undone="restored",
            needs={"due": "total_amount", "paid": "pay.amount"},
        ),
        Step(
            "end",
            "carrito.confirm_order",
            RETRIABLE,
            done="ended",
            needs={"evidence": "sell.reservation_id"},
        ),
    ),
)
"""The second payment is of the amount that the first one answered."""


@pytest.fixture
def consumers(broker):
    with with_sagas(TWICE):
        yield {
            module.SERVICE: Consumer(
                service=module.SERVICE,
                broker=broker,
                reactions=reactions.of(service=module.SERVICE, module=module),
            )
            for module in (inventario, pagos)
        }


def receive(consumer, event):
    """The last event that the service publishes after receiving it."""
    outbox = {"inventario": SaidByInventario, "pagos": OutboxEntry}[consumer.service]
    consumer.handle([Delivery(message_of(event), redelivered=False, tag=None)])
    return events.decode(outbox.objects.latest("id").body.encode())


def results(event):
    return msgspec.json.decode(event.data.context, type=Context).results


@pytest.fixture
def paid(consumers, initiated):
    """The event after the first payment."""
    reserved = receive(consumers["inventario"], initiated(saga="twice", saga_id="s"))
    assert results(reserved) == {}, "no later step needs the reservation's id"
    return receive(consumers["pagos"], reserved)


def test_result_that_a_later_step_needs_travels_and_no_more_of_it(paid):
    assert results(paid) == {"pay": {"amount": "10.00"}}
    assert set(paid.data.result) == {"payment_id", "amount", "status"}


def test_later_step_gets_what_the_earlier_step_answered(consumers, paid):
    Payment.objects.update(amount="3.00")  # the command has the result's amount, not the row's
    again = receive(consumers["pagos"], paid)
    assert (again.type, again.data.result["amount"]) == ("payment.repeated", "10.00")
    assert results(again) == {"pay": {"amount": "10.00"}}


def test_step_whose_result_is_missing_is_dead_lettered(consumers, paid):
    lost = msgspec.json.decode(paid.data.context, type=Context)
    context = msgspec.json.encode(msgspec.structs.replace(lost, results={}))
    facts = msgspec.structs.replace(paid.data, context=msgspec.Raw(context))
    receive(consumers["pagos"], msgspec.structs.replace(paid, data=facts))
    assert "amount" in FailedMessage.objects.get().reason
    assert Payment.objects.count() == 1


def test_operation_that_serves_two_steps_takes_effect_once_for_each(consumers, paid):
    receive(consumers["pagos"], paid)
    receive(consumers["pagos"], paid)
    entries = BarrierEntry.objects.filter(saga_id="s")
    assert set(entries.values_list("step", "direction")) == {("pay", "do"), ("pay_again", "do")}
    assert set(Payment.objects.values_list("step", "status")) == {
        ("pay", "captured"),
        ("pay_again", "captured"),
    }


def test_undo_of_one_of_its_steps_leaves_the_other(consumers, paid):
    again = receive(consumers["pagos"], paid)
    unsold = msgspec.structs.replace(again, id="unsold", type="unsold")
    assert receive(consumers["pagos"], unsold).type == "repetition.refunded"
    assert set(Payment.objects.values_list("step", "status")) == {
        ("pay", "captured"),
        ("pay_again", "refunded"),
    }


@pytest.fixture
def shop(monkeypatch, settings):
    settings.REDRIVE_SECONDS = 0
    yield Shop(monkeypatch)
    forget("seeded")


def with_text(text):
    """The tables of all services that contain it, as text or as bytes."""
    tables = set()
    for service in WITH_DATABASE:
        for model in apps.get_app_config(service).get_models():
            table = model._meta.db_table
            rows = sql.execute(
                service=service,
                sql=f"SELECT 1 FROM {table} AS t WHERE t::text LIKE %s OR t::text LIKE %s LIMIT 1",
                values=[f"%{text}%", f"%{text.encode().hex()}%"],
            )
            tables |= {table} if rows else set()
    return tables


def test_address_that_no_step_needs_is_where_it_was_given_and_nowhere_else(shop):
    for pattern in PATTERNS:
        shop.check_out(pattern)
        shop.check_out(pattern, payment_method="card_declined")
        shop.poisoned.add(shop.check_out(pattern))
    shop.settle_to_the_last_try()
    assert FailedMessage.objects.exists(), "the failed messages are searched too"
    assert with_text(ADDRESS["street"]) == {Address._meta.db_table}
    assert not Checkout.objects.filter(context__icontains=ADDRESS["street"]).exists()


def test_control_what_a_step_needs_is_found_wherever_it_went(shop):
    shop.poisoned.add(shop.check_out("choreographed"))
    shop.settle_to_the_last_try()
    assert {
        "carrito_checkout",
        "carrito_outboxentry",
        "pagos_failedmessage",
        "saga_choreography_saga",
    } <= with_text("credit_card")


def test_definition_names_what_travels_in_the_data(shop):
    saga_id = shop.check_out("choreographed")
    context = Checkout.objects.get(pk=saga_id).context
    assert set(context["data"]) == {"items", "total_amount", "payment_method"}
    assert SAGAS["checkout"].subject not in context
