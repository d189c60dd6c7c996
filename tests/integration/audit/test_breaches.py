"""Each kind of breach is found in its group and named, in an otherwise correct shop."""

import pytest

from catalogue.services import WITH_DATABASE
from tests.integration.audit.conftest import found, run

pytestmark = [
    pytest.mark.django_db(databases=WITH_DATABASE),
    pytest.mark.usefixtures("shop"),
]


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
        (1, "undone", "is still reserved for it"),
    ),
    (
        "envios",
        "UPDATE envios_courier SET busy = busy + 1",
        (1, "", "(c) is busy with 3 of 10, and has 2 open deliveries"),
    ),
    (
        "reservas",
        "SET CONSTRAINTS ALL IMMEDIATE;"
        "ALTER TABLE reservas_booking DROP CONSTRAINT booking_slot_once_at_a_time;"
        " UPDATE reservas_booking SET booking_status = 'reserved', starts_at = '2026-12-01 10:30Z',"
        " ends_at = '2026-12-01 12:00Z' WHERE saga_id = 'not-booked'",
        (1, "not-booked", "Sala Azul is taken by another booking at its time"),
    ),
    # 2: money
    (
        "facturas",
        "DELETE FROM facturas_invoice WHERE bill_id ="
        " (SELECT id FROM facturas_bill WHERE saga_id = 'booked')",
        (2, "booked", "the bill of 12.50 is paid, and its invoice is missing"),
    ),
    (
        "facturas",
        "DELETE FROM facturas_invoice WHERE kind = 'credit_note'",
        (2, "booked-no-more", "the bill of 12.50 is credited, and its credit note is missing"),
    ),
    (
        "facturas",
        "UPDATE facturas_invoice SET amount = 12 WHERE kind = 'credit_note'",
        (2, "booked-no-more", "the bill of 12.50 is credited, and its credit note of 12.00"),
    ),
    (
        "facturas",
        "UPDATE facturas_invoicecounter SET last = last + 1",
        (2, "", "but its counter is 4"),
    ),
    (
        "facturas",
        "UPDATE facturas_invoice SET issued_at = '1999-01-01' WHERE number LIKE '%-000001'",
        (2, "", "-000001 was issued on 1999-01-01"),
    ),
    (
        "pagos",
        "UPDATE pagos_payment SET amount = amount + 1 WHERE saga_id = 'delivered'",
        (2, "delivered", "process_payment was to take 25.00, not 26.00"),
    ),
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
        (2, "sold", "is refunded, but there is no refund"),
    ),
    (
        "pagos",
        "ALTER TABLE pagos_payment DROP CONSTRAINT payment_once_a_step;"
        " INSERT INTO pagos_payment (id, saga_id, step, amount, payment_method, status)"
        " VALUES ('second', 'sold', 'process_payment', 25, 'paypal', 'captured')",
        (2, "sold", "charged 2 times"),
    ),
    (
        "pagos",
        "INSERT INTO pagos_payment (id, amount, payment_method, status)"
        " VALUES ('plain', 5, 'paypal', 'refunded')",
        (2, "", "payment plain of 5.00 is refunded, and 0 was refunded"),
    ),
    (
        "pagos",
        "SET CONSTRAINTS ALL IMMEDIATE;"
        "ALTER TABLE pagos_refund DROP CONSTRAINT refund_once_a_payment;"
        " INSERT INTO pagos_refund (payment_id, saga_id, amount)"
        " SELECT payment_id, saga_id, amount FROM pagos_refund WHERE saga_id = 'undone'",
        (2, "undone", "refunded 2 times"),
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
        "UPDATE saga_choreography_saga"
        " SET context = jsonb_set(context, '{data,total_amount}', '1') WHERE saga_id = 'undone'",
        (4, "undone", "its data is not the same at carrito and saga_choreography"),
    ),
    (
        "saga_orchestrator",
        "DELETE FROM saga_orchestrator_saga WHERE saga_id = 'sold'",
        (4, "sold", "completed, but no coordinator has it"),
    ),
    (
        "pagos",
        "DELETE FROM pagos_barrierentry WHERE saga_id = 'sold';"
        " DELETE FROM pagos_payment WHERE saga_id = 'sold'",
        (4, "sold", "completed, but process_payment was never done"),
    ),
    (
        "carrito",
        "DELETE FROM carrito_barrierentry WHERE saga_id = 'sold' AND step = 'confirm_order'",
        (4, "sold", "completed, but confirm_order was never done"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET saga_pattern = 'choreographed' WHERE saga_id = 'sold'",
        (4, "sold", "accepted as choreographed, run by saga_orchestrator"),
    ),
    (
        "saga_orchestrator",
        "UPDATE saga_orchestrator_saga SET subject = 'x' WHERE saga_id = 'sold'",
        (4, "sold", "its subject is cart of sold for carrito, x for saga_orchestrator"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET context = '3' WHERE saga_id = 'sold'",
        (4, "sold", "its data at carrito can't be read"),
    ),
    (
        "inventario",
        "UPDATE inventario_reservationline SET quantity = 3 WHERE reservation_id ="
        " (SELECT id FROM inventario_reservation WHERE saga_id = 'delivered')",
        (4, "delivered", "reserve_inventory reserved "),
    ),
    (
        "pedidos",
        "UPDATE pedidos_order SET order_status = 'failed' WHERE saga_id = 'delivered'",
        (4, "delivered", "completed, but its order is failed"),
    ),
    (
        "pedidos",
        "UPDATE pedidos_order SET total_amount = 24 WHERE saga_id = 'delivered'",
        (4, "delivered", "total 24.00, 25.00 for its saga's steps"),
    ),
    (
        "envios",
        "UPDATE envios_delivery SET status = 'cancelled', cancelled_at = now()"
        " WHERE saga_id = 'delivered'",
        (4, "delivered", "completed, but no delivery of it is there"),
    ),
    (
        "envios",
        "UPDATE envios_delivery SET status = 'delivered', delivered_at = now()"
        " WHERE saga_id = 'brought-back'",
        (4, "brought-back", "compensated, but a delivery of it is there"),
    ),
    (
        "pedidos",
        "UPDATE pedidos_order SET order_status = 'failed' WHERE saga_id = 'not-bought'",
        (4, "not-bought", "compensated, but its order is failed"),
    ),
    (
        "envios",
        "UPDATE envios_delivery SET status = 'cancelled', cancelled_at = now()"
        " WHERE saga_id = 'bought'",
        (4, "bought", "completed, but no delivery of it is there"),
    ),
    (
        "reservas",
        "UPDATE reservas_booking SET booking_status = 'cancelled' WHERE saga_id = 'booked'",
        (4, "booked", "completed, but its booking is cancelled"),
    ),
    (
        "reservas",
        "UPDATE reservas_booking SET total_amount = 12 WHERE saga_id = 'booked'",
        (4, "booked", "total 12.00, 12.50 for its saga's steps"),
    ),
    (
        "facturas",
        "UPDATE facturas_bill SET status = 'open' WHERE saga_id = 'booked'",
        (4, "booked", "completed, but its bill is open"),
    ),
    (
        "facturas",
        "UPDATE facturas_bill SET amount = 13 WHERE saga_id = 'not-booked'",
        (4, "not-booked", "total 12.50, 13.00 on its bill"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET status = 'failed' WHERE saga_id = 'undone'",
        (4, "undone", "failed (nothing had to be undone), but undone: create_order"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET status = 'compensated' WHERE saga_id = 'refused'",
        (4, "refused", "compensated, but nothing was undone"),
    ),
    (
        "carrito",
        "UPDATE carrito_order SET status = 'pending' WHERE saga_id = 'undone'",
        (4, "undone", "compensated, but its order is pending"),
    ),
    (
        "inventario",
        "UPDATE inventario_reservation SET status = 'committed' WHERE saga_id = 'undone'",
        (4, "undone", "compensated, but sold: "),
    ),
    (
        "carrito",
        "SET CONSTRAINTS ALL IMMEDIATE; DROP INDEX checkout_once_a_cart;"
        " UPDATE carrito_checkout SET cart_id = 'cart of sold' WHERE saga_id = 'sold-too'",
        (4, "sold-too", "its cart cart of sold was bought 2 times"),
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
        "INSERT INTO pagos_barrierentry (saga_id, saga, step, direction, status, decided_at)"
        " VALUES ('sold', 'checkout', 'process_payment', 'undo', 'done', now())",
        (5, "sold", "undone beyond its pivot without a return: process_payment"),
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
        (
            6,
            "sold",
            "carrito never accepted it, but there is a saga (completed)",
        ),
    ),
    (
        "saga_choreography",
        "INSERT INTO saga_choreography_saga (saga_id, saga, subject, context, status,"
        " phase, started_at, finished_at)"
        " VALUES ('sold', 'checkout', 'cart of sold', '{}', 'completed', 2, now(), now())",
        (6, "sold", "both coordinators run it"),
    ),
    (
        "inventario",
        "SET CONSTRAINTS ALL IMMEDIATE;"
        "ALTER TABLE inventario_reservation DROP CONSTRAINT reservation_once_a_step;"
        " INSERT INTO inventario_reservation (saga_id, step, subject, status, expires_at)"
        " VALUES ('sold', 'reserve_inventory', 'cart of sold', 'released', now())",
        (6, "sold", "there are 2 reservations of reserve_inventory"),
    ),
    (
        "pagos",
        "UPDATE pagos_barrierentry SET saga = 'fulfilment' WHERE saga_id = 'sold'",
        (6, "sold", "pagos did process_payment of it as fulfilment, not checkout"),
    ),
    (
        "carrito",
        "UPDATE carrito_checkout SET saga = 'fulfilment' WHERE saga_id = 'sold'",
        (6, "sold", "carrito accepted it, but its owner is pedidos"),
    ),
    (
        "saga_choreography",
        "INSERT INTO saga_choreography_saga (saga_id, saga, subject, context, status,"
        " phase, started_at) VALUES ('x', 'wedding', 'y', '{}', 'running', 2, now())",
        (6, "x", "no owner accepted it, but there is a saga (running) at saga_choreography"),
    ),
    (
        "carrito",
        "DELETE FROM carrito_barrierentry WHERE saga_id = 'sold' AND step = 'accept_checkout'",
        (6, "sold", "accepted, but accept_checkout was never done"),
    ),
    (
        "envios",
        "DELETE FROM envios_delivery WHERE saga_id = 'delivered'",
        (6, "delivered", "schedule_delivery was done, but there is no delivery"),
    ),
    (
        "envios",
        "UPDATE envios_delivery SET status = 'scheduled' WHERE saga_id = 'not-delivered'",
        (6, "not-delivered", "the undo of schedule_delivery was done, but there is no cancelled"),
    ),
    (
        "envios",
        "SET CONSTRAINTS ALL IMMEDIATE;"
        "ALTER TABLE envios_delivery DROP CONSTRAINT delivery_once_a_step;"
        " INSERT INTO envios_delivery (saga_id, step, subject, courier_id, destination, status)"
        " SELECT saga_id, step, subject, courier_id, destination, status FROM envios_delivery"
        " WHERE saga_id = 'delivered'",
        (6, "delivered", "there are 2 deliveries of schedule_delivery"),
    ),
    (
        "facturas",
        "DELETE FROM facturas_barrierentry WHERE saga_id = 'booked' AND step = 'issue_invoice'",
        (6, "booked", "there is a invoice, but issue_invoice was never done"),
    ),
    (
        "reservas",
        "UPDATE reservas_booking SET withdrawn_at = NULL WHERE saga_id = 'not-booked'",
        (
            6,
            "not-booked",
            "the undo of approve_booking was done, but there is no withdrawn approval",
        ),
    ),
    (
        "pedidos",
        "DELETE FROM pedidos_barrierentry WHERE saga_id = 'delivered' AND step = 'complete_order'",
        (6, "delivered", "there is a completed order, but complete_order was never done"),
    ),
    (
        "pedidos",
        "UPDATE pedidos_order SET order_status = 'completed' WHERE saga_id = 'bought'",
        (6, "bought", "dispatch_order was done, but there is no dispatched order"),
    ),
    (
        "pedidos",
        "DELETE FROM pedidos_barrierentry WHERE saga_id = 'not-bought' AND direction = 'undo'"
        " AND step = 'confirm_order'",
        (6, "not-bought", "no longer, but the undo of confirm_order was never done"),
    ),
    (
        "pedidos",
        "UPDATE pedidos_order SET unconfirmed_at = NULL WHERE saga_id = 'given-back'",
        (6, "given-back", "the undo of confirm_order was done, but there is no order that is"),
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
        "INSERT INTO carrito_failedmessage"
        " (event_id, event_type, saga_id, body, status, attempts, reason)"
        " VALUES ('e', 'payment.processed', 'sold', '{}', 'retrying', 3, 'KeyError')",
        (7, "sold", "retrying at carrito after 3 attempts: KeyError"),
    ),
    (
        "pagos",
        "UPDATE pagos_decision SET is_to_be_told = true WHERE saga_id = 'withdrawn'",
        (7, "withdrawn", "no coordinator was told that confirm_payment is decided (pagos)"),
    ),
    # 3 and 6: decisions
    (
        "pagos",
        "UPDATE pagos_decision SET until = now() - interval '1 min' WHERE saga_id = 'waits'",
        (3, "waits", "confirm_payment asks the customer, overdue for 6"),
    ),
    (
        "pagos",
        "DELETE FROM pagos_decision WHERE saga_id = 'waits'",
        (6, "waits", "confirm_payment waits, and no decision is open"),
    ),
    (
        "pagos",
        "UPDATE pagos_decision SET closed_at = now(), verdict = 'yes' WHERE saga_id = 'waits'",
        (6, "waits", "confirm_payment is decided (yes), and still waits"),
    ),
    (
        "pagos",
        "UPDATE pagos_decision SET closed_at = NULL, until = now() + interval '1 min'"
        " WHERE saga_id = 'withdrawn'",
        (6, "withdrawn", "confirm_payment is refused, and still asks the customer"),
    ),
    (
        "pagos",
        "UPDATE pagos_decision SET verdict = 'no' WHERE saga_id = 'sold'",
        (6, "sold", "process_payment was done, and its decision is no"),
    ),
    (
        "pagos",
        "UPDATE pagos_barrierentry SET code = 'no' WHERE saga_id = 'withdrawn' AND code > ''",
        (6, "withdrawn", "confirm_payment was withdrawn, and is refused no"),
    ),
    (
        "pagos",
        "INSERT INTO pagos_decision (saga_id, step, saga, action, decided_by, until, command)"
        " VALUES ('sold', 'pad', 'checkout', 'charge', 'customer', now(), '{}')",
        (6, "sold", "pad has asked the customer, and was never begun"),
    ),
    # 8: keys and statuses
    (
        "pedidos",
        "INSERT INTO pedidos_order (saga_id, saga, saga_pattern, context, user_id, items, status,"
        " order_status, accepted_at, ended_at) VALUES ('sold', 'fulfilment', 'orchestrated', '{}',"
        " 'ana', '[]', 'completed', 'completed', now(), now())",
        (8, "sold", "accepted 2 times"),
    ),
    (
        "pagos",
        "ALTER TABLE pagos_payment DROP CONSTRAINT payment_once_a_key;"
        " UPDATE pagos_payment SET merchant_id = 'm', idempotency_key = 'k'",
        (8, "", "the idempotency key 'm k' stands for several at pagos"),
    ),
    (
        "pagos",
        "INSERT INTO pagos_outboxentry (event_id, event_type, saga_id, body, sent_at)"
        " SELECT n, 'checkout.payment.processed', 'sold', '{}', now()"
        " FROM generate_series(1, 2) AS n",
        (8, "sold", "pagos has published checkout.payment.processed under 2 ids"),
    ),
    (
        "carrito",
        "UPDATE carrito_order SET created_at = created_at - interval '1 min'"
        " WHERE saga_id = 'sold'",
        (8, "sold", "s before it was accepted"),
    ),
    (
        "saga_orchestrator",
        "UPDATE saga_orchestrator_saga SET finished_at = NULL WHERE saga_id = 'sold'",
        (8, "sold", "completed for saga_orchestrator, but without a time"),
    ),
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
        (8, "sold", "carrito has it as running, ended at"),
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
    ("service", "damage", "breach"),
    BREACHES,
    ids=[f"{breach[2][0]}: {breach[2][2]}" for breach in BREACHES],
)
def test_breach_is_found_in_its_group_and_named(broker, service, damage, breach):
    for statement in damage.split(";"):
        run(service, statement)
    group, saga_id, what = breach
    breaches = found(broker)
    assert [
        breach for breach in breaches if breach[:2] == (group, saga_id) and what in breach[2]
    ], breaches
