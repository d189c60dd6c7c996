"""Every process of the shop is two minutes ahead (or behind): one clock decides, the database's."""

import os
from pathlib import Path

import pytest

from contracts.statuses import Pattern
from stack.local import LocalStack
from tests.checkout.shop import Shop

EACH = 4
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


@pytest.fixture(scope="module", params=["+130s", "-130s"])
def shop(request, tmp_path_factory):
    """A shop of its own, whose processes are told another time than its servers."""
    if LIBRARY is None:
        if os.environ.get("CI"):
            pytest.fail("libfaketime is required in CI: apt-get install faketime")
        pytest.skip("libfaketime is not installed: apt-get install faketime")
    clock = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": request.param,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with LocalStack(
        folder=tmp_path_factory.mktemp("stack"),
        fresh=True,
        free_ports=True,
        use_given=False,
        environment=clock,
    ) as running:
        yield Shop(running)


def test_checkouts_complete_in_every_pattern(shop):
    product = shop.product(quantity=100)
    for pattern in Pattern:
        sagas = shop.check_out_all(shop.carts(EACH, product=product), [pattern.value])
        assert shop.all_ended(sagas) == {"completed": EACH}, pattern


def test_its_clock_is_wrong_indeed(shop):
    """The control: what a process writes by its own clock is two minutes off."""
    ((apart,),) = shop.rows(
        "inventario",
        "SELECT abs(extract(epoch FROM max(sent_at) - max(created_at)))"
        " FROM inventario_outboxentry",
    )
    assert apart > 100
