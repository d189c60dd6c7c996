"""The orchestrator's runner and sagas, as its own tests have them."""

from tests.integration.orchestrator.conftest import (  # noqa: F401 -- fixtures
    participants,
    quick,
    run,
    start,
    when,
)
