"""The paths of saga_choreography (port 3004)."""

from functools import partial

from contracts import refusals
from contracts.outcomes import Refused
from coordination import owners, views
from coordination.coordinator import Coordinator
from saga_choreography import operations, queries
from saga_choreography.store import SERVICE


def compensate(
    *, saga_id: str, requested_by: str, reason: str, may_return: bool = True
) -> Refused | None:
    """Requests an abort, or the return of a completed saga."""
    ask = partial(
        operations.act,
        operations.compensate,
        saga_id=saga_id,
        requested_by=requested_by,
        reason=reason,
        may_return=may_return,
    )
    refused = ask()
    is_past_pivot = refused and refused.code == refusals.PAST_PIVOT
    if is_past_pivot and owners.is_completed(saga_id=saga_id):
        # The saga went on meanwhile: its owner knows that, and tracking will soon.
        return ask(is_completed=True)
    return refused


COORDINATOR = Coordinator(
    service=SERVICE,
    below="saga/choreography",
    listed="status",
    state=queries.state_of,
    summary=queries.summary_of,
    sagas=queries.sagas,
    summaries=queries.summaries,
    start=operations.get_to_know,
    compensate=compensate,
    retry=partial(operations.act, operations.retry),
    skip=partial(operations.act, operations.skip),
)

urlpatterns = views.urls(COORDINATOR)
