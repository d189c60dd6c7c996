"""Payments and refunds. Constraints hold what must never break, whatever the code does."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts import bounds
from messaging import models as messaging
from participant import models as sagas
from participant.fields import TextId


class PaymentStatus(models.TextChoices):
    CAPTURED = "captured"
    REFUNDED = "refunded"
    REFUSED = "refused"


class Payment(models.Model):
    """A charge that was asked for: taken, given back, or refused with a code.

    A saga's payment has its saga, step and subject (a cart, an order); a plain one has a merchant
    and an order instead.
    """

    id = models.CharField(primary_key=True, max_length=64, db_collation="C")
    saga_id = TextId(null=True, blank=True)
    step = TextId(default="", db_default="")
    subject = TextId(default="", db_default="")
    merchant_id = models.CharField(max_length=64, default="", db_default="")
    order_id = models.CharField(max_length=64, default="", db_default="")
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    payment_method = models.CharField(max_length=64)
    status = models.CharField(max_length=8, choices=PaymentStatus)
    code = models.CharField(max_length=64, default="", db_default="")
    detail = models.TextField(default="", db_default="")
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 -- null: sent without one; unique otherwise
    fingerprint = models.CharField(max_length=64, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["saga_id", "step"], name="payment_once_a_step"),
            models.UniqueConstraint(
                fields=["merchant_id", "idempotency_key"], name="payment_once_a_key"
            ),
            models.CheckConstraint(
                # Of nothing only in a saga, whose goods are free: no money moves then.
                condition=Q(status="refused")
                | Q(amount__gt=0)
                | Q(amount=0, saga_id__isnull=False),
                name="payment_amount_positive",
            ),
            models.CheckConstraint(  # NaN, which PostgreSQL takes for the greatest, is none
                condition=Q(amount__lte=bounds.MOST_MONEY), name="payment_amount_is_money"
            ),
            models.CheckConstraint(
                condition=Q(status="refused", code__gt="") | ~Q(status="refused") & Q(code=""),
                name="payment_refused_with_code",
            ),
        ]
        indexes = [
            models.Index(fields=["subject"], condition=~Q(subject=""), name="payment_of_subject"),
            models.Index(fields=["created_at", "id"], name="payment_newest"),
        ]

    def __str__(self) -> str:
        return f"payment {self.id}"


class Refund(models.Model):
    """Money given back: the whole payment, once."""

    id = models.BigAutoField(primary_key=True)
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, related_name="refunds", db_index=False
    )
    saga_id = TextId(null=True, blank=True)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    reason = models.CharField(max_length=200, default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["payment"], name="refund_once_a_payment"),
            models.CheckConstraint(
                condition=Q(amount__range=(0, bounds.MOST_MONEY)), name="refund_amount_is_money"
            ),
        ]

    def __str__(self) -> str:
        return f"refund of payment {self.payment_id}"


class BarrierEntry(sagas.BarrierEntry):
    class Meta(sagas.BarrierEntry.Meta):
        verbose_name_plural = "barrier entries"


class Decision(sagas.Decision):
    pass


class OutboxEntry(messaging.OutboxEntry):
    pass


class ParkedMessage(messaging.ParkedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
