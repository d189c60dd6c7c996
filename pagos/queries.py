"""Looking at payments."""

from django.db.models import QuerySet

from pagos.models import Payment


def payment(*, payment_id: str) -> Payment | None:
    """The payment with this id."""
    return _payments().filter(pk=payment_id).first()


def payment_of_saga(*, saga_id: str) -> Payment | None:
    """The saga's one payment."""
    return _payments().filter(saga_id=saga_id).first()


def payments_of_cart(*, cart_id: str) -> list[Payment]:
    """The payments of a cart, newest first: one a checkout that came as far as charging."""
    return list(_payments().filter(cart_id=cart_id).order_by("-created_at", "id"))


def saga_of(*, payment_id: str) -> str | None:
    """The saga that a payment belongs to; None where there is none."""
    return Payment.objects.filter(pk=payment_id).values_list("saga_id", flat=True).first()


def _payments() -> QuerySet[Payment]:
    return Payment.objects.prefetch_related("refunds")
