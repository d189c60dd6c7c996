"""The universal checkout: one way in, whichever pattern then coordinates it.

shopper -> POST /checkout/saga -> accept: lock the cart, freeze it, record the checkout   (here)
                               -> hand over to the pattern's coordinator              (handover)
                                  orchestrated:  POST /saga/checkout at saga_orchestrator
                                  choreographed: POST /saga/choreography/checkout
                                                 at saga_choreography
                                  orchestrated_messaging: as orchestrated
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from django.conf import settings

from carrito import operations
from carrito.models import Checkout
from carrito.operations import Accept
from contracts.outcomes import Refused
from contracts.statuses import Pattern, SagaStatus
from messaging import doorbell
from sagas import barrier, points
from sagas.gathering import Gathering
from sagas.performing import Performed, perform

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, kw_only=True)
class Coordinator:
    """Who coordinates a pattern, and where checkouts are handed over to it."""

    url: str
    path: str


_ORCHESTRATOR = Coordinator(url=settings.ORCHESTRATOR_URL, path="/saga/checkout")
COORDINATORS = {
    Pattern.ORCHESTRATED: _ORCHESTRATOR,
    Pattern.CHOREOGRAPHED: Coordinator(
        url=settings.CHOREOGRAPHY_URL, path="/saga/choreography/checkout"
    ),
    Pattern.ORCHESTRATED_MESSAGING: _ORCHESTRATOR,
}


def channel(*, pattern: Pattern) -> str:
    """The doorbell that wakes the pattern's hand-over."""
    return f"handover.{pattern.value}"


class NotAccepted(Exception):
    """The checkout was refused, and nothing of it is kept: it may be tried again, mended."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


@dataclass(frozen=True, kw_only=True)
class AcceptedCheckout:
    """What a shopper is told. `is_new`: false where the Idempotency-Key was known."""

    saga_id: str
    cart_id: str
    total_amount: Decimal
    saga_pattern: str
    status: str
    is_new: bool


def check_out(*, command: Accept) -> AcceptedCheckout:
    """Accepts the checkout. Once this returns, it is durable and will be started for certain.

    Raises NotAccepted.
    """
    outcome = _gathering.perform(command=command).outcome
    if isinstance(outcome, Refused):
        raise NotAccepted(outcome)
    if "repeats" in outcome.data:
        points.reach("acceptance.known")
        return _known(outcome.data["repeats"])
    pattern = Pattern(command.saga_pattern)
    points.reach("acceptance.before_wake")
    doorbell.ring(service=operations.SERVICE, channel=channel(pattern=pattern))
    points.reach("acceptance.before_reply")
    return AcceptedCheckout(
        saga_id=command.saga_id,
        cart_id=command.cart_id,
        total_amount=Decimal(outcome.data["total_amount"]),
        saga_pattern=pattern.value,
        status=SagaStatus.PENDING.value,
        is_new=True,
    )


def _known(saga_id: str) -> AcceptedCheckout:
    names = ("cart_id", "total_amount", "saga_pattern", "status")
    checkout = Checkout.objects.only(*names).get(pk=saga_id)
    return AcceptedCheckout(
        saga_id=checkout.saga_id,
        cart_id=checkout.cart_id,
        total_amount=checkout.total_amount,
        saga_pattern=checkout.saga_pattern,
        status=checkout.status,
        is_new=False,
    )


def traceparent_of(*, header: str) -> str:
    """The caller's trace (W3C Trace Context), or one that starts here."""
    if _TRACEPARENT.fullmatch(header):
        return header
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def _forget_others(performed: Sequence[Performed]) -> None:
    """What is refused, or repeats another, is no saga: it leaves nothing behind."""
    others = [
        one.command.saga_id
        for one in performed
        if isinstance(one.outcome, Refused) or "repeats" in one.outcome.data
    ]
    barrier.forget(operation=operations.accept, saga_ids=others)


_gathering = Gathering(
    service=operations.SERVICE,
    together=partial(perform, operation=operations.accept, also=_forget_others),
)
