"""Looking at payments."""

from django.db.models import QuerySet

from pagos.models import CreditAccount, Decision, Payment


def payment(*, payment_id: str) -> Payment | None:
    """The payment with this id."""
    return payments().filter(pk=payment_id).first()


def payment_of_saga(*, saga_id: str) -> Payment | None:
    """The saga's payment; where several of its steps charged, the last."""
    return payments().filter(saga_id=saga_id).first()


def payments_of(*, subject: str) -> list[Payment]:
    """The payments of a cart or an order, newest first: one a saga that came as far as charging."""
    return list(payments().filter(subject=subject))


def payment_to_confirm(*, payment_id: str, order_id: str) -> Payment | None:
    """The payment that a customer may confirm or cancel, by its id or its order's: the newest."""
    named = {"pk": payment_id} if payment_id else {"subject": order_id or None}
    return payments().exclude(saga_id=None).filter(**named).first()


def payment_of_bill(*, saga_id: str) -> Payment | None:
    """The payment of a bill, once it has been asked for."""
    asked = Decision.objects.filter(saga_id=saga_id, action="pay_bill").first()
    return payments().filter(saga_id=saga_id, step=asked.step).first() if asked else None


def credits(*, user_id: str) -> CreditAccount | None:  # noqa: A001 -- as its users call it
    """What this user has."""
    return CreditAccount.objects.filter(pk=user_id).first()


def payments() -> QuerySet[Payment]:
    """All payments, newest first."""
    return Payment.objects.prefetch_related("refunds").order_by("-created_at", "-id")


def saga_of(*, payment_id: str) -> str | None:
    """The saga that a payment belongs to; None where there is none."""
    return Payment.objects.filter(pk=payment_id).values_list("saga_id", flat=True).first()
