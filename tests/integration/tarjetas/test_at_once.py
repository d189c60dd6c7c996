"""One key on many connections at once: charged once, and refunded or voided."""

import random
from decimal import Decimal
from functools import partial

import pytest

from tarjetas import operations
from tarjetas.models import Charge
from tarjetas.operations import SERVICE, ChargeRequest
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["tarjetas"])

AT_ONCE = 50


def asked(*keys: str, amount: str = "12.50") -> list[ChargeRequest]:
    fields = {"saga_id": "s", "saga": "checkout", "payment_method": "credit_card"}
    return [ChargeRequest(key=key, amount=Decimal(amount), **fields) for key in keys]


def test_key_on_many_connections_is_charged_once():
    charge = partial(operations.charge, asked=asked("k"))
    results = at_once([charge] * AT_ONCE, service=SERVICE)
    assert [answer.status for (answer,) in results] == ["captured"] * AT_ONCE
    assert Charge.objects.count() == 1


def test_forgotten_key_on_many_connections_is_charged_once_more(settings):
    settings.KEY_SECONDS = 0
    operations.charge(asked=asked("k"))
    settings.KEY_SECONDS = 3600
    charge = partial(operations.charge, asked=asked("k", amount="7.00"))
    results = at_once([charge] * AT_ONCE, service=SERVICE)
    assert not [result for result in results if isinstance(result, Exception)]
    assert [str(answer.amount) for (answer,) in results] == ["7.00"] * AT_ONCE
    assert sorted(Charge.objects.values_list("amount", flat=True)) == [
        Decimal("7"),
        Decimal("12.5"),
    ]


def test_lists_of_the_same_keys_in_any_order_do_not_wait_for_each_other_for_ever():
    keys = [f"k{number}" for number in range(20)]
    lists = [random.Random(seed).sample(keys, 12) for seed in range(AT_ONCE)]
    calls = [
        partial(operations.refund, keys=some)
        if number % 3 == 0
        else partial(operations.charge, asked=asked(*some))
        for number, some in enumerate(lists)
    ]
    results = at_once(calls, service=SERVICE)
    assert not [result for result in results if isinstance(result, Exception)]
    assert Charge.objects.count() == len(keys)


@pytest.mark.timeout(180)
def test_charge_and_refund_at_once_leave_nothing_taken():
    for number in range(AT_ONCE):
        key = f"k{number}"
        charge = partial(operations.charge, asked=asked(key))
        refund = partial(operations.refund, keys=[key])
        (charged,), (back,) = at_once([charge, refund], service=SERVICE)
        row = Charge.objects.get(key=key)
        was_first = charged.status == "captured"
        assert back.status == row.status == ("refunded" if was_first else "voided")
        assert was_first or charged.code == "voided"
