"""The address of an accepted saga is in its owner's own table, and nowhere else."""

import uuid

import psycopg
import pytest
from psycopg import errors, sql

from catalogue import SAGAS
from catalogue.services import ALL
from contracts.patterns import PATTERNS
from stack.backing import alias_of
from tests.checkout.shop import body_of
from tests.sagas.test_endings import ended

KEEPERS = {"carrito": "carrito_address", "pedidos": "pedidos_address"}
ASKED = [
    (saga, pattern, method)
    for saga, definition in SAGAS.items()
    if definition.owner in KEEPERS and saga != "purchase"
    for pattern in PATTERNS
    for method in ("credit_card", "card_declined")
]


@pytest.fixture(scope="module")
def marked(shop):
    """The mark of each saga's street, by saga, pattern and payment method; all have ended."""
    product = shop.product(quantity=500)
    area = shop.courier(capacity=100)
    marks, begun = {}, []
    for saga, pattern, method in ASKED:
        mark = marks[saga, pattern, method] = f"street-{uuid.uuid4().hex}"
        address = {**area, "street": mark, "name": mark}
        (wish,) = shop.wishes(
            1, saga=saga, pattern=pattern, product=product, method=method, destination=address
        )
        if SAGAS[saga].owner == "carrito":
            wish = wish._replace(body=wish.body | {"billing_address": address})
        status, body = shop.begin(wish)
        assert status == 202, body
        begun.append((saga, body["saga_id"]))
    for saga, saga_id in begun:
        ended(shop, saga, saga_id)
    shop.audit()
    return marks


def tables_with(shop, text: str) -> set[str]:
    """The tables of all databases with a row that contains the text."""
    tables = set()
    for service in ALL:
        with psycopg.connect(shop.stack.superuser_urls[alias_of(service)]) as link:
            names = link.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for (name,) in names:
                asked = sql.SQL("SELECT FROM {} AS entry WHERE entry::text LIKE %s LIMIT 1")
                rows = link.execute(asked.format(sql.SQL(name)), [f"%{text}%"]).fetchall()
                tables |= {name.removeprefix("public.")} if rows else set()
    return tables


@pytest.mark.parametrize(("saga", "pattern", "method"), ASKED)
def test_an_address_is_in_its_owners_own_table_alone(shop, marked, saga, pattern, method):
    assert tables_with(shop, marked[saga, pattern, method]) == {KEEPERS[SAGAS[saga].owner]}


def test_no_address_is_in_a_log(shop, marked):
    logs = [path for path in shop.stack.logs.iterdir() if path.is_file()]
    assert any("carrito" in path.name for path in logs)
    for path in logs:
        assert "street-" not in path.read_text(errors="replace"), path.name


def test_an_address_that_is_refused_is_not_logged_either(shop):
    cart = shop.cart(product=shop.product(quantity=1))
    body = body_of(cart, "orchestrated") | {"billing_address": {"street": ["street-refused"]}}
    status, _ = shop.call("POST", "carrito", "/checkout/saga", body)
    assert status == 400
    for path in shop.stack.logs.iterdir():
        assert "street-refused" not in path.read_text(errors="replace"), path.name


def test_the_order_shows_its_address_still(shop):
    area = shop.courier(capacity=1)
    address = {**area, "street": "Calle Mayor 1"}
    (wish,) = shop.wishes(
        1,
        saga="fulfilment",
        pattern="choreographed",
        product=shop.product(quantity=1),
        destination=address,
    )
    _, body = shop.begin(wish)
    ended(shop, "fulfilment", body["saga_id"])
    _, order = shop.call("GET", "pedidos", f"/orders/{body['saga_id']}")
    assert (order["destination"], order["delivery"]["destination"]) == (address, area)


@pytest.mark.parametrize("service", KEEPERS)
def test_only_its_owner_may_read_it(shop, service):
    reads = f"SELECT FROM {KEEPERS[service]}"
    stack = shop.stack
    with psycopg.connect(stack.database_urls[service]) as link:
        link.execute(reads)
    for urls in (stack.audit_urls, stack._backends.admin_urls):
        with psycopg.connect(urls[service]) as link, pytest.raises(errors.InsufficientPrivilege):
            link.execute(reads)


def test_address_of_an_ended_saga_is_forgotten_on_the_running_stack(shop, marked):
    table = "SELECT saga_id FROM carrito_address ORDER BY 1"
    kept = shop.rows("carrito", table)
    assert kept
    command = ("python", "manage.py", "forget", "--older-than", "0s")
    assert f"carrito: {len(kept)} of {len(kept)}" in shop.stack.run(*command, "--dry-run")
    assert shop.rows("carrito", table) == kept
    assert f"carrito: {len(kept)} of {len(kept)}" in shop.stack.run(*command)
    assert not shop.rows("carrito", table)
