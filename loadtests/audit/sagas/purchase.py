"""purchase: what completed was paid and has a courier; of what did not, nothing is kept, and its
order is cancelled.
"""

from collections.abc import Iterator

from loadtests.audit.evidence import Evidence, Finding
from loadtests.audit.services import envios, pagos, pedidos


def breaches(saga: Evidence) -> Iterator[Finding]:
    """2: the total was kept, or nothing. 4: a delivery is there, or not, and its customer is told
    so.
    """
    yield from pagos.kept(saga)
    if not saga.is_over or saga.is_skipped:
        return
    yield from envios.delivered(saga)
    for one in saga.of(pedidos.Order):
        if not saga.is_completed and one.status != "cancelled":
            yield 4, f"{saga.status}, but its order is {one.status}"
