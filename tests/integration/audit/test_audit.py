"""The audit: a shop that is right passes, and each kind of breach is found and named."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils.timezone import now

from config.databases import SERVICES
from loadtests.audit import checking, rest, tables
from loadtests.audit.reading import whole_tables
from messaging.brokers import Message
from messaging.consumer import queue_of

pytestmark = pytest.mark.django_db(databases=SERVICES)


def run(service: str, statement: str) -> None:
    """Damage, done in the service's own database."""
    with connections[service].cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount != 0, f"no row of {service}: {statement}"


def found(broker) -> list[tuple[int, str, str]]:
    """The breaches: group, saga, what."""
    report = checking.check(broker=broker)
    return [
        (group.number, one.saga_id, one.what)
        for group in report.groups.values()
        for one in group.breaches
    ]


def test_shop_in_which_a_saga_ended_in_each_way_is_clean(shop, broker):
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert report.groups[3].counted == "3 completed, 1 failed, 2 compensated, 0 parked, 0 running"


def test_empty_shop_is_clean(broker):
    assert checking.check(broker=broker).is_clean


@pytest.mark.parametrize(
    ("service", "statement"),
    [
        ("saga_orchestrator", tables.ASKED),
        ("carrito", tables.CHECKOUTS),
        ("pagos", tables.PAYMENTS),
    ],
)
def test_whole_tables_are_never_joined_row_by_row(shop, service, statement):
    """Whatever PostgreSQL believes of them: nothing at all, of tables that were filled just now."""
    with whole_tables(), connections[service].cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}", {"saga": None})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Join" in plan
    assert "Nested Loop" not in plan


BREACHES = [
    # 1: stock
    (
        "inventario",
        "UPDATE inventario_product SET available = available - 1, reserved = reserved + 1",
        (1, "", "its reservations hold 0"),
    ),
    (
        "inventario",
        "UPDATE inventario_reservation SET status = 'reserved' WHERE saga_id = 'undone'",
        (1, "undone", "is still put aside for it"),
    ),
    # 2: money
    (
        "pagos",
        "UPDATE pagos_payment SET amount = amount + 1 WHERE saga_id = 'sold'",
        (2, "sold", "26.00 was kept of 25.00"),
    ),
    (
        "pagos",
        "DELETE FROM pagos_refund WHERE saga_id = 'undone'",
        (2, "undone", "25.00 was kept of 0.00"),
    ),
    (
        "pagos",
        "UPDATE pagos_refund SET amount = 24 WHERE saga_id = 'undone'",
        (2, "undone", "24.00 was refunded"),
    ),
    (
        "pagos",
        "UPDATE pagos_payment SET status = 'refunded' WHERE saga_id = 'sold'",
        (2, "sold", "says refunded, but no refund is there"),
    ),
    (
        "pagos",
        "ALTER TABLE pagos_payment DROP CONSTRAINT payment_once_a_saga;"
        " INSERT INTO pagos_payment (id, saga_id, amount, payment_method, status)"
        " VALUES ('second', 'sold', 25, 'paypal', 'captured')",
        (2, "sold", "charged 2 times"),
    ),
    (
        "pagos",
        "INSERT INTO pagos_payment (id, amount, payment_method, status)"
        " VALUES ('plain', 5, 'paypal', 'refunded')",
        (2, "", "payment plain of 5.00 is refunded, and 0 was refunded"),
    ),
    # 3: ends
    (
        "carrito",
        "UPDATE carrito_checkout SET status = 'running', ended_at = NULL WHERE saga_id = 'sold'",
        (3, "sold", "running for carrito"),
    ),
    (
        "saga_orchestrator",
        "UPDATE saga_orchestrator_saga SET status = 'running', finished_at = NULL,"
        " current_step = 'process_payment' WHERE saga_id = 'sold'",
        (3, "sold", "not ended: running at process_payment"),
    ),
    (
        "saga_orchestrator",
        "UPDATE saga_orchestrator_saga SET status = 'parked', finished_at = NULL"
        " WHERE saga_id = 'sold'",
        (3, "sold", "parked without its step"),
    ),
    # 4: agreement
    (
        "carrito",
        "UPDATE carrito_order SET status = 'pending' WHERE saga_id = 'sold'",
        (4, "sold", "completed, but its order is pending"),
    ),
    (
        "carrito",
        "UPDATE carrito_order SET total_amount = 24 WHERE saga_id = 'sold'",
        (4, "sold", "total 25.00, 24.00 in its order"),
    ),
    (
        "carrito",
        "UPDATE carrito_order SET confirmed_at = confirmed_at + interval '1 ms'"
        " WHERE saga_id = 'sold'",
        (4, "sold", "confirmed at another time"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET total_amount = 24 WHERE saga_id = 'sold'",
        (4, "sold", "total 24.00, but its lines come to 25.00"),
    ),
    (
        "carrito",
        "UPDATE carrito_cart SET status = 'active' WHERE id = 'cart of sold'",
        (4, "sold", "is active, not checked_out"),
    ),
    (
        "carrito",
        "UPDATE carrito_cart SET status = 'checking_out' WHERE id = 'cart of undone'",
        (4, "undone", "is checking_out, not active"),
    ),
    (
        "inventario",
        "UPDATE inventario_reservationline SET quantity = 1",
        (4, "sold", "but sold: "),
    ),
    (
        "saga_orchestrator",
        "UPDATE saga_orchestrator_saga SET status = 'failed' WHERE saga_id = 'sold'",
        (4, "sold", "completed for carrito, failed for saga_orchestrator"),
    ),
    (
        "saga_choreography",
        "UPDATE saga_choreography_saga SET total_amount = 1 WHERE saga_id = 'undone'",
        (4, "undone", "total 25.00, 1.00 for saga_choreography"),
    ),
    (
        "saga_orchestrator",
        "DELETE FROM saga_orchestrator_saga WHERE saga_id = 'sold'",
        (4, "sold", "completed, but no coordinator has it"),
    ),
    # 5: undos
    (
        "pagos",
        "UPDATE pagos_barrierentry SET decided_at = decided_at + interval '1 min'"
        " WHERE saga_id = 'undone' AND direction = 'undo'",
        (5, "undone", "reserve_inventory was undone before process_payment"),
    ),
    (
        "inventario",
        "DELETE FROM inventario_barrierentry WHERE saga_id = 'undone' AND direction = 'undo'",
        (5, "undone", "reserve_inventory was never undone"),
    ),
    (
        "pagos",
        "INSERT INTO pagos_barrierentry (saga_id, step, direction, status, decided_at)"
        " VALUES ('sold', 'process_payment', 'undo', 'done', now())",
        (5, "sold", "undone beyond its pivot, and nobody asked for a return: process_payment"),
    ),
    (
        "saga_orchestrator",
        "DELETE FROM saga_orchestrator_intervention WHERE saga_id = 'returned'",
        (5, "returned", "undone beyond its pivot"),
    ),
    # 6: causes
    (
        "pagos",
        "DELETE FROM pagos_barrierentry WHERE saga_id = 'sold'",
        (6, "sold", "there is a payment, but process_payment was never done"),
    ),
    (
        "pagos",
        "DELETE FROM pagos_payment WHERE saga_id = 'sold'",
        (6, "sold", "process_payment was done, but there is no payment"),
    ),
    (
        "carrito",
        "DELETE FROM carrito_barrierentry WHERE saga_id = 'sold' AND step = 'create_order'",
        (6, "sold", "commit_inventory was done, but create_order was not"),
    ),
    (
        "inventario",
        "UPDATE inventario_barrierentry SET decided_at = decided_at - interval '1 min'"
        " WHERE saga_id = 'sold' AND step = 'commit_inventory'",
        (6, "sold", "commit_inventory was done before create_order"),
    ),
    (
        "pagos",
        "UPDATE pagos_barrierentry SET decided_at = decided_at + interval '1 min'"
        " WHERE saga_id = 'undone' AND direction = 'do'",
        (6, "undone", "process_payment was done after its undo"),
    ),
    (
        "inventario",
        "UPDATE inventario_barrierentry SET status = NULL"
        " WHERE saga_id = 'sold' AND step = 'commit_inventory'",
        (6, "sold", "do commit_inventory was committed undecided"),
    ),
    (
        "carrito",
        "DELETE FROM carrito_order WHERE saga_id = 'sold';"
        "DELETE FROM carrito_checkout WHERE saga_id = 'sold'",
        (6, "sold", "carrito never accepted it, but there is a payment (captured)"),
    ),
    (
        "saga_choreography",
        "INSERT INTO saga_choreography_saga (saga_id, cart_id, total_amount, context, status,"
        " stage, started_at, finished_at)"
        " VALUES ('sold', 'cart of sold', 25, '{}', 'completed', 2, now(), now())",
        (6, "sold", "both coordinators run it"),
    ),
    (
        "inventario",
        "ALTER TABLE inventario_reservation DROP CONSTRAINT reservation_once_a_saga;"
        " INSERT INTO inventario_reservation (saga_id, cart_id, status, expires_at)"
        " VALUES ('sold', 'cart of sold', 'released', now())",
        (6, "sold", "there are 2 reservations"),
    ),
    # 7: rest
    (
        "pagos",
        "INSERT INTO pagos_outboxentry (event_id, event_type, saga_id, body)"
        " VALUES ('e', 'payment.processed', 'sold', '{}')",
        (7, "sold", "payment.processed of pagos was never sent"),
    ),
    (
        "carrito",
        "INSERT INTO carrito_parkedmessage"
        " (event_id, event_type, saga_id, body, status, attempts, reason)"
        " VALUES ('e', 'payment.processed', 'sold', '{}', 'retrying', 3, 'KeyError')",
        (7, "sold", "retrying at carrito after 3 attempts: KeyError"),
    ),
    # 8: keys and statuses
    (
        "carrito",
        "ALTER TABLE carrito_idempotencykey DROP CONSTRAINT key_once_a_user;"
        " UPDATE carrito_idempotencykey SET key = 'k'",
        (8, "", "the idempotency key 'ana k' stands for several at carrito"),
    ),
    (
        "carrito",
        "INSERT INTO carrito_idempotencykey (user_id, key, saga_id, fingerprint)"
        " VALUES ('ana', 'lost', 'nothing', '')",
        (8, "", "stands for saga nothing, which was never accepted"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET status = 'running' WHERE saga_id = 'sold'",
        (8, "sold", "carrito says running, ended at"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET ended_at = accepted_at - interval '1 s'"
        " WHERE saga_id = 'refused'",
        (8, "refused", "ended 1.000 s before it was accepted"),
    ),
    (
        "carrito",
        "UPDATE carrito_order SET cancelled_at = created_at - interval '1 s'"
        " WHERE saga_id = 'undone'",
        (8, "undone", "its order was cancelled before it was placed"),
    ),
]


@pytest.mark.parametrize(
    ("service", "damage", "breach"), BREACHES, ids=[f"{one[2][0]}: {one[2][2]}" for one in BREACHES]
)
@pytest.mark.usefixtures("shop")
def test_breach_is_found_in_its_group_and_named(broker, service, damage, breach):
    for statement in damage.split(";"):
        run(service, statement)
    group, saga_id, what = breach
    breaches = found(broker)
    assert [one for one in breaches if one[:2] == (group, saga_id) and what in one[2]], breaches


@pytest.mark.usefixtures("shop")
def test_step_called_by_hand_is_told_and_no_breach(broker):
    run(
        "pagos",
        "INSERT INTO pagos_payment (id, saga_id, amount, payment_method, status)"
        " VALUES ('p', 'mine', 25, 'paypal', 'captured')",
    )
    assert found(broker) == []
    assert "saga mine: not of a checkout, called by hand" in checking.check(broker=broker).notes


@pytest.mark.usefixtures("shop")
def test_message_that_nobody_consumed_is_a_breach(broker):
    broker.declare(queue=queue_of(service="pagos"), events=["inventory.reserved"])
    broker.publish([Message("m", "inventory.reserved", b"{}")])
    assert found(broker) == [(7, "", "1 messages in queue dueto.pagos")]


@pytest.mark.usefixtures("shop")
def test_poison_that_was_parked_is_told_and_no_breach(broker):
    run(
        "pagos",
        "INSERT INTO pagos_parkedmessage (event_id, event_type, saga_id, body, status, attempts,"
        " reason) VALUES ('e', 'inventory.reserved', '', 'x', 'parked', 5, 'not JSON')",
    )
    report = checking.check(broker=broker)
    assert report.is_clean
    assert report.notes == ["inventory.reserved parked at pagos after 5 attempts: not JSON"]


def test_checkout_that_was_never_handed_over_is_a_breach(shop, broker):
    shop.accept("waits")
    run("carrito", "UPDATE carrito_checkout SET handed_over_at = NULL WHERE saga_id = 'waits'")
    assert found(broker) == [(3, "waits", "accepted, and never handed over to its coordinator")]


def test_checkout_that_is_set_aside_is_no_breach(shop, broker):
    shop.accept("aside")
    run(
        "carrito",
        "UPDATE carrito_checkout SET handed_over_at = NULL, set_aside_at = now(),"
        " set_aside_reason = 'nobody can read it', status = 'pending' WHERE saga_id = 'aside'",
    )
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert "1 parked, 0 running" in report.groups[3].counted
    assert rest.look(broker=broker).is_settled


@pytest.mark.parametrize(
    "items",
    ["{}", '"x"', "[1]", '[{"quantity": "many"}]', '[{"quantity": 1, "unit_price": "much"}]', "3"],
)
def test_damaged_lines_are_told_and_stop_no_audit(shop, broker, items):
    run("carrito", f"UPDATE carrito_checkout SET items = '{items}' WHERE saga_id = 'sold'")
    breaches = found(broker)
    assert {saga_id for _, saga_id, _ in breaches} == {"sold"}
    assert any("total 25.00, but its lines come to nothing" in what for _, _, what in breaches)


def test_effect_that_was_never_asked_for_by_message_is_a_breach(shop, broker):
    run(
        "saga_orchestrator",
        "DELETE FROM saga_orchestrator_outboxentry WHERE saga_id = 'sold-as-well'"
        " AND event_type = 'payment.requested'",
    )
    what = "process_payment took effect, but payment.requested was never sent"
    assert found(broker) == [(6, "sold-as-well", what)]


def test_message_of_the_orchestrator_that_was_never_sent_is_a_breach(shop, broker):
    run(
        "saga_orchestrator",
        "UPDATE saga_orchestrator_outboxentry SET sent_at = NULL"
        " WHERE event_type = 'payment.requested'",
    )
    what = "payment.requested of saga_orchestrator was never sent"
    assert found(broker) == [(7, "sold-as-well", what)]


@pytest.mark.parametrize("pattern", ["orchestrated", "choreographed"])
def test_saga_parked_with_step_and_reason_is_no_breach(shop, broker, pattern):
    shop.accept("stuck", pattern=pattern)
    shop.reserve("stuck")
    step = "parked_step" if pattern == "choreographed" else "current_step"
    parked = {step: "process_payment", "parked_reason": "no answer", "parked_at": now()}
    shop.coordinated("stuck", "parked", pattern, **parked)
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert "1 parked" in report.groups[3].counted


def test_skipped_step_is_the_answer_of_the_person_who_skipped_it(shop, broker):
    run("pagos", "DELETE FROM pagos_refund WHERE saga_id = 'returned'")
    run("pagos", "UPDATE pagos_payment SET status = 'captured' WHERE saga_id = 'returned'")
    run("pagos", "DELETE FROM pagos_barrierentry WHERE saga_id = 'returned' AND direction = 'undo'")
    assert {one[0] for one in found(broker)} == {2, 5}
    run(
        "saga_orchestrator",
        "INSERT INTO saga_orchestrator_intervention (saga_id, action, step, requested_by)"
        " VALUES ('returned', 'skip', 'process_payment', 'eva')",
    )
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert report.notes == ["saga returned: a person skipped a step of it"]


def test_only_the_first_breaches_are_named_and_all_are_counted(broker):
    run(
        "pagos",
        "INSERT INTO pagos_outboxentry (event_id, event_type, saga_id, body)"
        " SELECT n, 'payment.processed', n, '{}' FROM generate_series(1, 50) AS n",
    )
    report = checking.check(broker=broker)
    assert (report.groups[7].count, len(report.groups[7].breaches)) == (50, 20)
    assert "... and 30 more" in report.as_text()


@pytest.mark.usefixtures("shop")
def test_waiting_ends_at_once_where_nothing_runs(broker):
    assert rest.wait(broker=broker, seconds=30, say=pytest.fail)


def test_waiting_tells_what_still_runs_and_gives_up_in_time(shop, broker):
    shop.accept("runs")
    said: list[str] = []
    assert not rest.wait(broker=broker, seconds=0.1, say=said.append)
    assert said[0].startswith("waiting: 1 checkouts run")


@pytest.fixture
def audit(settings, capsys):
    """The command; gives its exit status and what it printed."""
    settings.BROKER_URL = "memory://audit-command"

    def run_it(*options: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            call_command("audit", *options)
        return ended.value.code, capsys.readouterr().out

    return run_it


@pytest.mark.usefixtures("shop")
def test_command_ends_with_zero_where_all_is_right(audit):
    status, said = audit()
    assert status == 0
    assert [line[0] for line in said.splitlines()[:8]] == list("12345678")
    assert said.splitlines()[-1] == "The audit is clean."


@pytest.mark.usefixtures("shop")
def test_command_ends_with_one_on_a_breach(audit):
    run("pagos", "UPDATE pagos_payment SET amount = 26 WHERE saga_id = 'sold'")
    status, said = audit("--json")
    told = json.loads(said)
    assert (status, told["clean"]) == (1, False)
    money = told["groups"][1]
    assert (money["breach_count"], money["breaches"][0]["saga_id"]) == (1, "sold")


@pytest.mark.usefixtures("shop")
def test_command_tells_all_of_one_saga(audit):
    status, said = audit("--saga", "undone")
    assert status == 0
    undos = [line for line in said.splitlines() if " undo " in line]
    steps = ["create_order", "process_payment", "reserve_inventory", "accept_checkout"]
    assert [line.split()[3] for line in undos] == steps
    assert "refunded" in said


def test_command_cannot_tell_of_an_unknown_saga():
    with pytest.raises(CommandError, match="no service knows of a saga nobody") as error:
        call_command("audit", "--saga", "nobody")
    assert error.value.returncode == 2


def test_command_says_when_it_cannot_check(settings):
    settings.BROKER_URL = ""
    with pytest.raises(CommandError, match="can't be audited") as error:
        call_command("audit")
    assert error.value.returncode == 2
