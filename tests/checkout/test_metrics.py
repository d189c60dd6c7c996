"""The /metrics of a running shop agree with what its shoppers did, in every pattern."""

import pytest

from tests.integration.httpapi.scraping import samples
from tests.waiting import eventually

STEPS = {
    "inventario": "reserve_inventory",
    "pagos": "process_payment",
    "carrito": "confirm_order",
}


@pytest.fixture
def metric(shop):
    """The sum of a service's series with these labels."""

    def total(service, name, **labels):
        answer = shop.request("GET", service, "/metrics", Host="any.name:1")
        assert answer.status == 200
        wanted = [f'{label}="{word}"' for label, word in labels.items()]
        return sum(
            value
            for series, value in samples(answer.data.decode(), service=service).items()
            if series.startswith(name + "{") and all(label in series for label in wanted)
        )

    return total


def test_metrics_count_what_shoppers_did(shop, metric, pattern):
    """Three buy, and one has a declined card."""

    def figures():
        ended = "dueto_saga_duration_seconds_count"
        labels = {"saga": "checkout", "pattern": pattern}
        return {
            "accepted": metric("carrito", "dueto_sagas_accepted_total", **labels),
            "completed": metric("carrito", ended, outcome="completed", **labels),
            "undone": metric("carrito", ended, outcome="compensated", **labels),
            "declined": metric("pagos", "dueto_steps_total", outcome="refused", saga="checkout"),
            **{
                step: metric(
                    service, "dueto_steps_total", step=step, direction="do", outcome="done"
                )
                for service, step in STEPS.items()
            },
        }

    before = figures()
    product = shop.product(quantity=10)
    for cart in shop.carts(3, product=product):
        assert shop.ended(shop.check_out(cart, pattern)[1]["saga_id"])["status"] == "completed"
    cart = shop.cart(product=product)
    saga_id = shop.check_out(cart, pattern, method="card_declined")[1]["saga_id"]
    assert shop.ended(saga_id)["status"] == "compensated"
    did = {"accepted": 4, "completed": 3, "undone": 1, "declined": 1}
    did |= {"reserve_inventory": 4, "process_payment": 3, "confirm_order": 3}

    def grown():
        now = figures()
        return {name: now[name] - before[name] for name in now}

    eventually(lambda: grown() == did, what="the workers have published their metrics")


def test_latency_is_that_of_the_owners_rows(shop, metric, pattern):
    labels = {"saga": "checkout", "pattern": pattern}
    name, query = (
        "dueto_saga_duration_seconds_sum",
        (
            "SELECT coalesce(sum(extract(epoch FROM ended_at - accepted_at)), 0)::float8"
            " FROM carrito_checkout WHERE saga = 'checkout' AND saga_pattern = %s"
        ),
    )

    def both():
        ((by_rows,),) = shop.rows("carrito", query, [pattern])
        return metric("carrito", name, **labels), by_rows

    before = both()
    product = shop.product(quantity=10)
    shop.all_ended(shop.check_out_all(shop.carts(5, product=product), [pattern]))

    def agree():
        now = both()
        return now[0] > before[0] and now[0] - before[0] == pytest.approx(now[1] - before[1])

    eventually(agree, what="metric and rows agree")
