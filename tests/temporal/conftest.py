"""What only Temporal can do to a saga. All else that is true of sagas is asked of this pattern too,
by the tests of every pattern (tests.lanes.ON_TEMPORAL), where DUETO_TEMPORAL=1.
"""

import pytest

from contracts.patterns import HAS_TEMPORAL

collect_ignore = [] if HAS_TEMPORAL else ["test_on_temporal.py"]


@pytest.fixture(autouse=True, scope="module")
def _ends_with_a_clean_audit(shop):
    yield
    shop.audit()
