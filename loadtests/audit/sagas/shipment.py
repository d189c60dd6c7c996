"""shipment: the same participants do the same as in fulfilment, in another order."""

from loadtests.audit.sagas.fulfilment import breaches

__all__ = ["breaches"]
