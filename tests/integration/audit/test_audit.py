"""The audit: a correct shop passes, and each kind of breach is found and named."""

import json
from datetime import datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils.timezone import now
from msgspec.structs import replace

from catalogue import SAGAS
from catalogue.checkout import padding_steps
from catalogue.services import BY_NAME, WITH_DATABASE, Service
from contracts.saga import COMPENSABLE, RETRIABLE, Saga, Step
from contracts.topology import queue_of
from loadtests.audit import checking, evidence, rest
from loadtests.audit.checking import NotAuditable
from loadtests.audit.reading import whole_tables
from loadtests.audit.services import carrito, pagos
from messaging.brokers import Message
from tests.definitions import with_sagas
from tests.integration.audit.conftest import Shop, found, run

pytestmark = pytest.mark.django_db(databases=WITH_DATABASE)


def test_empty_shop_is_clean(broker):
    assert checking.check(broker=broker).is_clean


def test_saga_without_rules_of_its_own_is_audited_by_those_of_all_and_of_its_services(broker):
    """One more definition, and no other file."""
    gift = Saga(
        name="gift",
        subject="order_id",
        door="/orders",
        abort="gift.abort.requested",
        give_back="gift.return.requested",
        steps=(
            Step("accept_gift", "pedidos.accept", COMPENSABLE, done="gift.asked", undone="gift.no"),
            Step(
                "pay_gift",
                "pagos.charge",
                COMPENSABLE,
                done="gift.paid",
                refused="gift.unpaid",
                undone="gift.refunded",
                needs={"amount": "total_amount"},
            ),
            Step(
                "complete_gift",
                "pedidos.complete",
                RETRIABLE,
                done="gift.given",
                needs={"evidence": "pay_gift.payment_id", "paid": "pay_gift.amount"},
            ),
        ),
    )
    with with_sagas(gift):
        shop = Shop()
        shop.completed("given", saga="gift")
        shop.compensated("kept", saga="gift", pattern="choreographed")
        shop.tell_network()
        report = checking.check(broker=broker)
        assert report.is_clean, report.as_text()
        run("pagos", "UPDATE pagos_payment SET amount = 26 WHERE saga_id = 'given'")
        run("pedidos", "DELETE FROM pedidos_barrierentry WHERE step = 'complete_gift'")
        run("pagos", "DELETE FROM pagos_barrierentry WHERE saga_id = 'kept' AND direction = 'undo'")
        assert {breach[:2] for breach in found(broker)} == {
            (2, "given"),
            (4, "given"),
            (6, "given"),
            (4, "kept"),
            (5, "kept"),
            (6, "kept"),
        }


def test_only_the_first_breaches_are_named_and_all_are_counted(broker):
    run(
        "pagos",
        "INSERT INTO pagos_outboxentry (event_id, event_type, saga_id, body)"
        " SELECT n, 'payment.processed', n, '{}' FROM generate_series(1, 50) AS n",
    )
    report = checking.check(broker=broker)
    assert (report.groups[7].count, len(report.groups[7].breaches)) == (50, 20)
    assert "... and 30 more" in report.as_text()


def test_shop_in_which_a_saga_ended_in_each_way_is_clean(shop, broker):
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert report.groups[3].counted == (
        "completed: 6, failed: 1, compensated: 9, parked: 0, waiting: 1, running: 0"
    )


@pytest.mark.parametrize(
    ("service", "statement"),
    [
        ("saga_orchestrator", evidence.ASKED),
        ("carrito", carrito.SOURCES[0].statement),
        ("pagos", pagos.SOURCES[0].statement),
    ],
)
def test_whole_tables_are_never_joined_row_by_row(shop, service, statement):
    """Even without statistics, as for tables that were just filled."""
    with whole_tables(), connections[service].cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}", {"saga": None})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Join" in plan
    assert "Nested Loop" not in plan


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("saga = 'wedding'", "pagos took part in sagas 'wedding'"),
        ("step = 'pad_saga_1'", "the step 'pad_saga_1' of checkout.*set DUETO_EXTRA_STEPS"),
        ("step = 'reserve_inventory'", "the step 'reserve_inventory' of checkout"),
    ],
)
def test_what_no_definition_has_is_refused_and_never_called_clean(broker, damage, why):
    run("pagos", f"UPDATE pagos_barrierentry SET {damage} WHERE saga_id = 'sold'")
    with pytest.raises(NotAuditable, match=why):
        checking.check(broker=broker)
    with pytest.raises(CommandError, match=why) as error:
        call_command("audit", "--saga", "sold")
    assert error.value.returncode == 2


@pytest.mark.usefixtures("shop")
def test_data_of_a_shorter_checkout_are_refused_and_not_called_broken(broker):
    page = SAGAS["checkout"]
    longer = replace(page, steps=(*page.steps[:-1], *padding_steps("2"), page.steps[-1]))
    with with_sagas(longer), pytest.raises(NotAuditable, match="no saga has done pad_saga_1, pad"):
        checking.check(broker=broker)


@pytest.mark.usefixtures("shop")
def test_accepted_saga_without_a_definition_is_refused(broker):
    run("carrito", "UPDATE carrito_checkout SET saga = 'wedding' WHERE saga_id = 'sold'")
    with pytest.raises(NotAuditable, match="carrito has accepted sagas 'wedding'"):
        checking.check(broker=broker)


def test_participant_without_rules_is_refused(broker, monkeypatch):
    monkeypatch.setattr(checking, "PARTICIPANTS", (*checking.PARTICIPANTS, "florists"))
    monkeypatch.setitem(BY_NAME, "florists", Service(name="florists", port=0))
    with pytest.raises(NotAuditable, match=r"audit/services/florists\.py"):
        checking.check(broker=broker)


@pytest.mark.usefixtures("shop")
def test_saga_of_before_the_barrier_had_its_name_is_audited_as_any(broker):
    run("pagos", "UPDATE pagos_barrierentry SET saga = ''")
    assert found(broker) == []
    run("pagos", "DELETE FROM pagos_barrierentry WHERE saga_id = 'sold'")
    assert (4, "sold", "completed, but process_payment was never done") in found(broker)


@pytest.mark.usefixtures("shop")
def test_step_called_by_hand_is_a_note_and_no_breach(broker):
    run(
        "pagos",
        "INSERT INTO pagos_payment (id, saga_id, amount, payment_method, status)"
        " VALUES ('p', 'mine', 25, 'paypal', 'captured')",
    )
    # Rows that no call has made are a breach.
    assert [saga_id for _, saga_id, _ in found(broker)] == ["mine"]
    run(
        "pagos",
        "INSERT INTO pagos_barrierentry (saga_id, saga, step, direction, status, decided_at)"
        " VALUES ('mine', '', 'charge', 'do', 'done', now())",
    )
    assert found(broker) == []
    assert "saga mine: steps called by hand, not a saga" in checking.check(broker=broker).notes


@pytest.mark.usefixtures("shop")
def test_unconsumed_message_is_a_breach(broker):
    broker.declare(queue=queue_of(service="pagos"), events=["inventory.reserved"])
    broker.publish([Message("m", "inventory.reserved", b"{}")])
    assert found(broker) == [(7, "", "1 messages in queue dueto.pagos")]


@pytest.mark.usefixtures("shop")
def test_parked_poison_is_a_note_and_no_breach(broker):
    run(
        "pagos",
        "INSERT INTO pagos_failedmessage (event_id, event_type, saga_id, body, status, attempts,"
        " reason) VALUES ('e', 'inventory.reserved', '', 'x', 'dead_lettered', 5, 'not JSON')",
    )
    report = checking.check(broker=broker)
    assert report.is_clean
    assert report.notes == ["inventory.reserved dead-lettered at pagos after 5 attempts: not JSON"]


def test_checkout_that_was_never_handed_over_is_a_breach(shop, broker):
    shop.accept("kept")
    run("carrito", "UPDATE carrito_checkout SET handed_over_at = NULL WHERE saga_id = 'kept'")
    assert found(broker) == [(3, "kept", "accepted, and never handed over to its coordinator")]


def test_checkout_that_is_dead_lettered_is_no_breach(shop, broker):
    shop.accept("aside")
    run(
        "carrito",
        "UPDATE carrito_checkout SET handed_over_at = NULL, dead_lettered_at = now(),"
        " dead_letter_reason = 'nobody can read it', status = 'pending' WHERE saga_id = 'aside'",
    )
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert "parked: 1, waiting: 1, running: 0" in report.groups[3].counted
    assert rest.look(broker=broker).is_settled


@pytest.mark.parametrize(
    "items",
    ["{}", '"x"', "[1]", '[{"quantity": "many"}]', '[{"quantity": 1, "unit_price": "much"}]', "3"],
)
def test_damaged_lines_are_reported_and_stop_no_audit(shop, broker, items):
    run("carrito", f"UPDATE carrito_checkout SET items = '{items}' WHERE saga_id = 'sold'")
    breaches = found(broker)
    assert {saga_id for _, saga_id, _ in breaches} == {"sold"}
    assert any("total 25.00, but its lines come to nothing" in what for _, _, what in breaches)


def test_effect_that_was_never_asked_for_by_message_is_a_breach(shop, broker):
    run(
        "saga_orchestrator",
        "DELETE FROM saga_orchestrator_outboxentry WHERE saga_id = 'sold-as-well'"
        " AND event_type = 'checkout.payment.process'",
    )
    what = "process_payment took effect, but checkout.payment.process was never sent"
    assert found(broker) == [(6, "sold-as-well", what)]


def test_message_of_the_orchestrator_that_was_never_sent_is_a_breach(shop, broker):
    run(
        "saga_orchestrator",
        "UPDATE saga_orchestrator_outboxentry SET sent_at = NULL"
        " WHERE event_type = 'checkout.payment.process'",
    )
    what = "checkout.payment.process of saga_orchestrator was never sent"
    assert found(broker) == [(7, "sold-as-well", what)]


@pytest.mark.parametrize("pattern", ["orchestrated", "choreographed"])
def test_saga_parked_with_step_and_reason_is_no_breach(shop, broker, pattern):
    shop.accept("stuck", pattern=pattern)
    shop.do("stuck", "reserve_inventory")
    step = "parked_step" if pattern == "choreographed" else "current_step"
    parked = {step: "process_payment", "parked_reason": "no answer", "parked_at": now()}
    shop.coordinated("stuck", "parked", **parked)
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    assert "parked: 1" in report.groups[3].counted


@pytest.mark.parametrize(
    ("saga_id", "service", "groups"),
    # In a chain the step's service has written the skip in its barrier.
    [("returned", "saga_orchestrator", {2, 5}), ("undone", "saga_choreography", {2, 6})],
)
def test_skipped_step_is_answered_for_by_the_person_who_skipped_it(
    shop, broker, saga_id, service, groups
):
    run("pagos", f"DELETE FROM pagos_refund WHERE saga_id = '{saga_id}'")
    run("pagos", f"UPDATE pagos_payment SET status = 'captured' WHERE saga_id = '{saga_id}'")
    run(
        "tarjetas",
        "UPDATE tarjetas_charge SET status = 'captured', refunded_at = NULL"
        f" WHERE saga_id = '{saga_id}'",
    )
    if service == "saga_orchestrator":
        entries = f"saga_id = '{saga_id}' AND direction = 'undo'"
        run("pagos", f"DELETE FROM pagos_barrierentry WHERE {entries}")
    assert {breach[0] for breach in found(broker)} == groups
    run(
        service,
        f"INSERT INTO {service}_intervention (saga_id, action, step, requested_by, reason)"
        f" VALUES ('{saga_id}', 'skip', 'process_payment', 'eva', 'paid back in cash')",
    )
    report = checking.check(broker=broker)
    assert report.is_clean, report.as_text()
    skipped = "eva skipped process_payment (25.00): paid back in cash"
    assert report.notes == [f"saga {saga_id}: {skipped}"]
    text = "\n".join(checking.check_one(saga_id=saga_id)[1])
    assert "eva asked to skip process_payment: paid back in cash" in text


@pytest.mark.usefixtures("shop")
def test_waiting_ends_at_once_where_nothing_runs(broker):
    assert rest.wait(broker=broker, seconds=30, say=pytest.fail)


def test_waiting_reports_what_still_runs_and_gives_up_in_time(shop, broker):
    shop.accept("runs")
    lines: list[str] = []
    assert not rest.wait(broker=broker, seconds=0.1, say=lines.append)
    assert lines[0].startswith("waiting: 1 accepted sagas run")


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
def test_command_exits_with_0_where_all_is_right(audit):
    status, output = audit()
    assert status == 0
    lines = output.splitlines()
    assert [line[0] for line in lines if line[0].isdecimal()] == list("12345678")
    assert max(map(len, lines)) <= 79
    assert lines[-1] == "The audit is clean."


@pytest.mark.usefixtures("shop")
def test_command_exits_with_1_on_a_breach(audit):
    run("pagos", "UPDATE pagos_payment SET amount = 26 WHERE saga_id = 'sold'")
    status, output = audit("--json")
    report = json.loads(output)
    assert (status, report["clean"]) == (1, False)
    money = report["groups"][1]
    assert (money["breach_count"], money["breaches"][0]["saga_id"]) == (3, "sold")


@pytest.mark.usefixtures("shop")
def test_command_shows_everything_about_one_saga(audit):
    status, output = audit("--saga", "undone")
    assert status == 0
    undos = [line for line in output.splitlines() if " undo " in line]
    steps = ["create_order", "process_payment", "reserve_inventory", "accept_checkout"]
    assert [line.split()[5].rstrip(":") for line in undos] == steps
    times = [datetime.fromisoformat(line.split()[0]) for line in undos]
    assert times == sorted(times)
    assert "Payment: step process_payment," in output
    assert "status refunded, amount 25.00, refunded 25.00" in output
    assert "Checkout: priced 25.00, lines " in output


def test_command_refuses_an_unknown_saga():
    with pytest.raises(CommandError, match="no service has a saga nobody") as error:
        call_command("audit", "--saga", "nobody")
    assert error.value.returncode == 2


def test_command_fails_with_the_reason_when_it_cannot_check(settings):
    settings.BROKER_URL = ""
    with pytest.raises(CommandError, match="Not running: start it") as error:
        call_command("audit")
    assert error.value.returncode == 2
