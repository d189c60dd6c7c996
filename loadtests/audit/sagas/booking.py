"""booking: what completed was paid and has its invoice; of what did not, no money is kept."""

from collections.abc import Iterator

from loadtests.audit.evidence import Evidence, Finding
from loadtests.audit.services import facturas, pagos


def breaches(saga: Evidence) -> Iterator[Finding]:
    """2: the price was kept, or nothing. 4: its bill is paid, or taken back."""
    yield from pagos.kept(saga)
    if saga.is_over and not saga.is_skipped:
        yield from facturas.settled(saga)
