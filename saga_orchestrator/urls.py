"""The paths of saga_orchestrator (port 3003)."""

from django.urls import path

from coordination import views
from httpapi.steps import made
from saga_orchestrator import operations, queries

COORDINATOR = views.Coordinator(
    service=operations.SERVICE,
    below="saga",
    listed="transactions",
    state=queries.state_of,
    summary=queries.summary_of,
    sagas=queries.sagas,
    summaries=queries.summaries,
    compensate=operations.compensate,
    retry=operations.retry,
    skip=operations.skip,
)

urlpatterns = [
    path(
        "sagas",
        made(views.HandOverView, service=operations.SERVICE, start=staticmethod(operations.start)),
    ),
    *views.urls(COORDINATOR),
]
