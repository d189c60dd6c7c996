"""The documents as a stranger uses them: a generated client buys a cart from carrito."""

import importlib
import os
import subprocess
import sys

import pytest

from catalogue.services import WITH_DATABASE
from httpapi import openapi
from tests import documented

NAME = "client_of_carrito"


@pytest.fixture
def client(shop, tmp_path, monkeypatch):
    """The generated package, once it is imported, and a client of it."""
    config = tmp_path / "config.yml"
    config.write_text("post_hooks: []\n")  # it is not read, so it need not be formatted
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    generate += ["--url", f"{shop.stack.urls['carrito']}/openapi.json"]
    generate += ["--config", str(config), "--output-path", str(tmp_path / NAME)]
    offline = {**os.environ, "NO_PROXY": "127.0.0.1,localhost"}
    ran = subprocess.run(generate, capture_output=True, text=True, check=False, env=offline)
    assert (ran.returncode, "Warning" in ran.stdout) == (0, False), ran.stdout + ran.stderr
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module(NAME)
    url = shop.stack.urls["carrito"]
    with package.Client(base_url=url, raise_on_unexpected_status=True) as made:
        yield made
    for name in [module for module in sys.modules if module.partition(".")[0] == NAME]:
        del sys.modules[name]


def test_generated_client_buys_a_cart(shop, client):
    product = shop.product(quantity=5)
    kinds = importlib.import_module(f"{NAME}.models")
    cart = _door("post_carts").sync(client=client, body=kinds.NewCart(user_id="ana"))
    wanted = kinds.Wanted(product_id=product, quantity=2)
    _door("post_carts_cart_id_items").sync(cart.id, client=client, body=wanted)
    body = kinds.CheckoutRequest(cart_id=cart.id, payment_method="credit_card", user_id="ana")
    bought = _door("post_checkout_saga").sync(client=client, body=body, prefer="wait=20")
    assert (bought.status, bought.total_amount) == ("completed", "25.00")
    order = _door("get_orders_order_id").sync(bought.order_id, client=client)
    assert (order.status, order.items[0].quantity) == ("confirmed", 2)
    again = _door("post_checkout_saga").sync(client=client, body=body)
    assert (again.status, again.code) == (409, "cart_checked_out")


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_service_serves_its_documents(shop, service):
    """The same document to which the tests compare answers, made from the URL configuration."""
    status, served = shop.call("GET", service, "/openapi.json")
    made = openapi.document(service=service, urls=documented.urls_of(service))
    assert (status, served["info"]["title"]) == (200, service)
    assert _operations(served) == _operations(made)
    page = shop.request("GET", service, "/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert shop.call("GET", service, "/asyncapi.json")[1]["asyncapi"] == "3.0.0"


def _door(name):
    return importlib.import_module(f"{NAME}.api.shopper.{name}")


def _operations(document):
    return {(where, method) for where, methods in document["paths"].items() for method in methods}
