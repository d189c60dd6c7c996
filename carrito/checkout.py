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
import uuid
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
_NAMESPACE = uuid.UUID("0d7f0a53-9c2c-4a55-8a5c-7d2a6b1f4c11")


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


class KeyReused(Exception):
    """The Idempotency-Key belongs to a checkout with another body."""


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

    Raises NotAccepted, KeyReused.
    """
    performed = _gathering.perform(command=command)
    if isinstance(performed.outcome, Refused):
        raise NotAccepted(performed.outcome)
    if not performed.fresh:
        points.reach("acceptance.known")
        return _known(command)
    pattern = Pattern(command.saga_pattern)
    points.reach("acceptance.before_wake")
    doorbell.ring(service=operations.SERVICE, channel=channel(pattern=pattern))
    points.reach("acceptance.before_reply")
    return AcceptedCheckout(
        saga_id=command.saga_id,
        cart_id=command.cart_id,
        total_amount=Decimal(performed.outcome.data["total_amount"]),
        saga_pattern=pattern.value,
        status=SagaStatus.PENDING.value,
        is_new=True,
    )


def _known(command: Accept) -> AcceptedCheckout:
    checkout = Checkout.objects.get(pk=command.saga_id)
    if checkout.fingerprint != command.fingerprint:
        raise KeyReused
    return AcceptedCheckout(
        saga_id=checkout.saga_id,
        cart_id=checkout.cart_id,
        total_amount=checkout.total_amount,
        saga_pattern=checkout.saga_pattern,
        status=checkout.status,
        is_new=False,
    )


def saga_id_for(*, idempotency_key: str) -> str:
    """The same key gives the same saga, so the barrier itself tells a repetition."""
    return str(uuid.uuid5(_NAMESPACE, idempotency_key) if idempotency_key else uuid.uuid4())


def traceparent_of(*, header: str) -> str:
    """The caller's trace (W3C Trace Context), or one that starts here."""
    if _TRACEPARENT.fullmatch(header):
        return header
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def _forget_refused(performed: Sequence[Performed]) -> None:
    """A refused acceptance leaves nothing behind: its key is free for another try."""
    refused = [one.command.saga_id for one in performed if isinstance(one.outcome, Refused)]
    barrier.forget(operation=operations.accept, saga_ids=refused)


_gathering = Gathering(
    service=operations.SERVICE,
    together=partial(perform, operation=operations.accept, also=_forget_refused),
)
