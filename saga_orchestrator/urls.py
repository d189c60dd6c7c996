"""The paths of saga_orchestrator (port 3003)."""

from coordination import views
from coordination.coordinator import Coordinator
from saga_orchestrator import operations, queries

COORDINATOR = Coordinator(
    service=operations.SERVICE,
    below="saga",
    listed="transactions",
    state=queries.state_of,
    summary=queries.summary_of,
    sagas=queries.sagas,
    summaries=queries.summaries,
    start=operations.start,
    compensate=operations.compensate,
    retry=operations.retry,
    skip=operations.skip,
    decided=operations.decided,
)

urlpatterns = views.urls(COORDINATOR)
