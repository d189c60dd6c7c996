"""fulfilment: what completed was paid, sold and is delivered; of what did not, nothing is kept."""

from collections.abc import Iterator

from loadtests.audit.evidence import Evidence, Finding, lines_of
from loadtests.audit.services import envios, inventario, pagos


def breaches(saga: Evidence) -> Iterator[Finding]:
    """2: the total was kept, or nothing. 4: the lines were sold and a delivery is there, or not."""
    yield from pagos.kept(saga)
    if not saga.is_over or saga.is_skipped:
        return
    yield from inventario.sold(saga, wanted=lines_of(saga.data.get("items", [])))
    yield from envios.delivered(saga)
