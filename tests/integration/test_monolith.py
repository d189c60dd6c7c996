"""The floor of the comparison, in a stack of its own: one transaction, whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from stack.local import LocalStack
from tests.checkout.shop import Shop

SAGA_TABLES = [
    ("carrito", "carrito_barrierentry"),
    ("inventario", "inventario_barrierentry"),
    ("pagos", "pagos_barrierentry"),
    ("carrito", "carrito_outboxentry"),
    ("inventario", "inventario_outboxentry"),
    ("pagos", "pagos_outboxentry"),
    ("saga_orchestrator", "saga_orchestrator_saga"),
    ("saga_choreography", "saga_choreography_saga"),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with LocalStack(
        folder=tmp_path_factory.mktemp("stack"),
        fresh=True,
        free_ports=True,
        use_given=False,
        saga="checkout",
        broker="postgresql",
        one_database=True,
        environment={"DUETO_MONOLITH": "1"},
    ) as running:
        yield Shop(running, is_documented=False)


def test_checkout_is_done_when_it_is_answered(shop):
    product = shop.product(quantity=5)
    cart = shop.cart(product=product, quantity=2)
    status, body = shop.check_out(cart, "monolith")
    assert (status, body["status"], body["total_amount"]) == (202, "completed", "25.00")
    assert shop.stock(product) == (3, 0, 2)
    assert shop.money(body["saga_id"]) == ("captured", "25.00")
    assert shop.status(body["saga_id"])["order_status"] == "confirmed"
    assert shop.call("GET", "carrito", f"/carts/{cart}")[1]["status"] == "checked_out"


def test_prices_of_now_decide_as_in_the_shop(shop):
    product = shop.product(quantity=5)
    fallen, risen = shop.carts(2, product=product)
    path = f"/api/products/{product}"
    shop.call("PATCH", "inventario", path, {"price": "10.00"})
    assert shop.check_out(fallen, "monolith")[1]["total_amount"] == "10.00"
    shop.call("PATCH", "inventario", path, {"price": "13.00"})
    assert shop.check_out(risen, "monolith")[1]["code"] == "price_changed"
    assert shop.check_out(risen, "monolith")[1]["total_amount"] == "13.00"


def test_refused_card_leaves_nothing_but_the_reason(shop):
    product = shop.product(quantity=5)
    cart = shop.cart(product=product)
    _, body = shop.check_out(cart, "monolith", method="card_declined")
    status = shop.status(body["saga_id"])
    assert (status["status"], status["failure"]["code"]) == ("compensated", "card_declined")
    assert shop.stock(product) == (5, 0, 0)
    assert shop.money(body["saga_id"])[0] == "refused"
    assert shop.call("GET", "carrito", f"/carts/{cart}")[1]["status"] == "active"


def test_refused_checkout_takes_no_other_of_its_batch_with_it(shop):
    product = shop.product(quantity=20)
    carts = shop.carts(20, product=product)
    methods = ["card_declined", "credit_card"] * 10
    with ThreadPoolExecutor(20) as threads:
        answers = threads.map(
            lambda cart, method: shop.check_out(cart, "monolith", method=method), carts, methods
        )
        statuses = [body["status"] for _, body in answers]
    assert statuses == ["compensated", "completed"] * 10
    assert shop.stock(product) == (10, 0, 10)


def test_last_unit_is_sold_once(shop):
    product = shop.product(quantity=1)
    carts = shop.carts(8, product=product)
    counted = shop.all_ended(shop.check_out_all(carts, ["monolith"], at_once=8))
    assert counted == {"completed": 1, "failed": 7}


def test_cart_that_can_not_be_bought_is_refused_as_in_the_shop(shop):
    assert shop.check_out("none", "monolith")[1]["code"] == "unknown_cart"


def test_it_is_no_saga(shop):
    cart = shop.cart(product=shop.product(quantity=1))
    before = rows_of_sagas(shop)
    shop.check_out(cart, "monolith")
    assert rows_of_sagas(shop) == before


def test_other_patterns_go_on_beside_it(shop):
    cart = shop.cart(product=shop.product(quantity=1))
    before = rows_of_sagas(shop)
    _, body = shop.check_out(cart, "orchestrated")
    assert shop.ended(body["saga_id"])["status"] == "completed"
    assert rows_of_sagas(shop) != before


def test_only_the_login_that_is_asked_for_writes_in_others_tables(shop):
    write = "UPDATE inventario_product SET name = name WHERE false"
    with psycopg.connect(shop.stack.database_urls["carrito"]) as own:
        own.execute("UPDATE carrito_cart SET status = status WHERE false")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute(write)
    variables = Path(f"/proc/{shop.stack.processes['carrito.web']}/environ").read_text().split("\0")
    (url,) = [
        pair.partition("=")[2] for pair in variables if pair.startswith("CARRITO_DATABASE_URL=")
    ]
    with psycopg.connect(url) as monolith:
        monolith.execute(write)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            monolith.execute("UPDATE pagos_refund SET reason = '' WHERE false")


def test_it_ends_with_a_clean_audit(shop):
    shop.audit()


def rows_of_sagas(shop):
    return {
        table: shop.rows(service, f"SELECT count(*) FROM {table}") for service, table in SAGA_TABLES
    }
