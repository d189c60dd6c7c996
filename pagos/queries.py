"""Looking at payments."""

from django.db.models import QuerySet

from pagos.models import Payment


def payment(*, payment_id: str) -> Payment | None:
    """The payment with this id."""
    return payments().filter(pk=payment_id).first()


def payment_of_saga(*, saga_id: str) -> Payment | None:
    """The saga's payment; where several of its steps charged, the last."""
    return payments().filter(saga_id=saga_id).first()


def payments_of(*, subject: str) -> list[Payment]:
    """The payments of a cart or an order, newest first: one a saga that came as far as charging."""
    return list(payments().filter(subject=subject))


def payments() -> QuerySet[Payment]:
    """All payments, newest first."""
    return Payment.objects.prefetch_related("refunds").order_by("-created_at", "-id")


def saga_of(*, payment_id: str) -> str | None:
    """The saga that a payment belongs to; None where there is none."""
    return Payment.objects.filter(pk=payment_id).values_list("saga_id", flat=True).first()
