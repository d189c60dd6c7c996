"""The behaviour of every saga that sells something: written once, and run for each in every
pattern.

A saga that is added to the catalogue is among them if it has the steps that they need.
"""

import pytest

from catalogue import SAGAS
from contracts import projection
from contracts.patterns import PATTERNS
from tests import documented

SELLING = [
    name
    for name, saga in SAGAS.items()
    if {"reserve_inventory", "process_payment"} <= {step.name for step in saga.steps}
]
DELIVERING = [name for name in SELLING if "envios" in projection.services_of(SAGAS[name])]


@pytest.fixture(params=list(PATTERNS))
def pattern(request):
    return request.param


@pytest.fixture(params=SELLING)
def saga(request):
    """Its name."""
    return request.param


@pytest.fixture(params=DELIVERING)
def delivered(request):
    """The name of a saga that delivers what it sells."""
    return request.param


@pytest.fixture(autouse=True, scope="module")
def _ends_with_a_clean_audit(shop):
    """After each module, nothing is lost, duplicated or left hanging; and all messages of its
    services are documented.
    """
    yield
    shop.audit()
    assert documented.check_outboxes(shop.rows) == []
