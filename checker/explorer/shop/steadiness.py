"""What must hold at any moment: a status never goes backwards, and nobody's handler faults."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from contracts.statuses import SagaStatus


class Standing(NamedTuple):
    """How a saga stands: for carrito, and for its coordinator (empty: not there yet)."""

    checkout: str
    run: str


_AFTER: Mapping[str, frozenset[str]] = {
    "": frozenset(SagaStatus),
    SagaStatus.PENDING: frozenset(SagaStatus),
    SagaStatus.RUNNING: frozenset(SagaStatus) - {SagaStatus.PENDING},
    SagaStatus.PARKED: frozenset(SagaStatus) - {SagaStatus.PENDING},
    SagaStatus.COMPENSATING: frozenset(
        {SagaStatus.COMPENSATED, SagaStatus.FAILED, SagaStatus.PARKED}
    ),
    SagaStatus.COMPLETED: frozenset(),
    SagaStatus.COMPENSATED: frozenset(),
    SagaStatus.FAILED: frozenset(),
}
_RETURNED = frozenset({SagaStatus.COMPENSATING, SagaStatus.COMPENSATED})


class Steadiness:
    """Compares how sagas stand with how they stood."""

    def __init__(self) -> None:
        self._last: Mapping[str, Standing] = {}

    def breaches(self, *, now: Mapping[str, Standing], may_return: bool) -> Iterator[str]:
        """What went backwards since the last time. `may_return`: somebody asked for a return."""
        last, self._last = self._last, now
        if last == now:
            return
        for saga_id, standing in now.items():
            stood = last.get(saga_id, Standing("", ""))
            for who, before, after in (
                ("carrito", stood.checkout, standing.checkout),
                ("its coordinator", stood.run, standing.run),
            ):
                if before != after and not _follows(before, after, may_return):
                    yield f"8: {saga_id}: {before or 'unknown'} became {after} for {who}"


def _follows(before: str, after: str, may_return: bool) -> bool:
    if may_return and before == SagaStatus.COMPLETED:
        return after in _RETURNED
    return after in _AFTER[before]
