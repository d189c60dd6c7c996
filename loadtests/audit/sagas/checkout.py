"""checkout: what completed was paid, sold and confirmed; of what did not, nothing is kept."""

from collections.abc import Iterator

from loadtests.audit.evidence import Evidence, Finding, money
from loadtests.audit.services import inventario, pagos
from loadtests.audit.services.carrito import Purchase


def breaches(saga: Evidence) -> Iterator[Finding]:
    """2: the total was kept, or nothing. 4: the lines were sold and its order confirmed, or not."""
    yield from pagos.kept(saga)
    bought = next(iter(saga.of(Purchase)), None)
    if bought is None or not saga.is_over or saga.is_skipped:
        return
    yield from inventario.sold(saga, wanted=bought.lines)
    yield from ((4, what) for what in _order(saga, bought))


def _order(saga: Evidence, bought: Purchase) -> Iterator[str]:
    assert saga.accepted  # noqa: S101 -- it is over, for its owner too
    if not saga.is_completed:
        if bought.order_status not in (None, "cancelled"):
            yield f"{saga.status}, but its order is {bought.order_status}"
    elif bought.order_status != "confirmed":
        yield f"completed, but its order is {bought.order_status or 'missing'}"
    elif bought.order_total != saga.accepted.total:
        total = money(saga.accepted.total)
        yield f"total {total}, {money(bought.order_total)} in its order"
    elif bought.confirmed_at != saga.accepted.ended_at:
        yield "its order was confirmed at another time than the checkout ended"
