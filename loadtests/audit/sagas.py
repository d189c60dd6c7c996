"""Rules for single sagas, beyond those for any: what the services' own rows must show if a saga
completed, and if not. A function for each saga that needs one, in `OWN_RULES`.
"""

from collections.abc import Callable, Iterator, Mapping

from loadtests.audit.evidence import Evidence, Finding, lines_of, money
from loadtests.audit.services import envios, facturas, inventario, pagos, pedidos
from loadtests.audit.services.carrito import CheckoutRow


def _booking(saga: Evidence) -> Iterator[Finding]:
    """2: the price was kept, or nothing. 4: its bill is paid, or cancelled."""
    yield from pagos.kept(saga)
    if saga.is_over and not saga.is_skipped:
        yield from facturas.settled(saga)


def _checkout(saga: Evidence) -> Iterator[Finding]:
    """2: the total was kept, or nothing. 4: the lines were sold and its order confirmed, or not."""
    yield from pagos.kept(saga)
    bought = next(iter(saga.of(CheckoutRow)), None)
    if bought is None or not saga.is_over or saga.is_skipped:
        return
    yield from inventario.sold(saga, wanted=bought.lines)
    yield from ((4, what) for what in _order(saga, bought))


def _order(saga: Evidence, bought: CheckoutRow) -> Iterator[str]:
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


def _fulfilment(saga: Evidence) -> Iterator[Finding]:
    """2: the total was kept, or nothing. 4: the lines were sold and a delivery is there, or not."""
    yield from pagos.kept(saga)
    if saga.is_over and not saga.is_skipped:
        yield from inventario.sold(saga, wanted=lines_of(saga.data.get("items", [])))
        yield from envios.delivered(saga)


def _purchase(saga: Evidence) -> Iterator[Finding]:
    """2: the total was kept, or nothing. 4: a delivery is there, or its order is cancelled."""
    yield from pagos.kept(saga)
    if not saga.is_over or saga.is_skipped:
        return
    yield from envios.delivered(saga)
    for order in saga.of(pedidos.OrderRow):
        if not saga.is_completed and order.status != "cancelled":
            yield 4, f"{saga.status}, but its order is {order.status}"


OWN_RULES: Mapping[str, Callable[[Evidence], Iterator[Finding]]] = {
    "booking": _booking,
    "checkout": _checkout,
    "fulfilment": _fulfilment,
    "purchase": _purchase,
    "shipment": _fulfilment,
}
