"""What only Temporal can do to a saga. The tests of every pattern run for this pattern too
(tests.lanes.ON_TEMPORAL), with DUETO_TEMPORAL=1.
"""

import pytest

from contracts.patterns import HAS_TEMPORAL

collect_ignore = [] if HAS_TEMPORAL else ["test_on_temporal.py"]


@pytest.fixture(autouse=True, scope="module")
def _ends_with_a_clean_audit(shop):
    yield
    shop.audit()
