"""Payments, refunds and credits. Constraints guard the invariants, whatever the code does."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts import bounds
from messaging import models as messaging
from participant import models as sagas
from participant.models import ADDED_ONLY, KEPT, TextId


class PaymentStatus(models.TextChoices):
    PENDING = "pending"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Payment(models.Model):
    """A requested charge: pending, captured, refunded, refused with a code, or cancelled.

    A saga's payment has its saga, step and subject (a cart, an order); a plain payment has a
    merchant and an order instead. `taken_by`: the step that takes the money, once it has begun to.
    `ask_at`: when the card network is asked next, to take the money of a pending payment, or to
    give back the money of a refunded or cancelled payment; null: not at all.
    """

    # The columns that a decision writes, but neither the amount nor where a refund goes.
    for_admin = (
        "SELECT, UPDATE (status, code, detail, taken_by, payment_method, times_asked, ask_at)"
    )
    granted = KEPT

    id = models.CharField(primary_key=True, max_length=64, db_collation="C")
    saga_id = TextId(null=True, blank=True)
    step = TextId(default="", db_default="")
    subject = TextId(default="", db_default="")
    merchant_id = models.CharField(max_length=64, default="", db_default="")
    order_id = models.CharField(max_length=64, default="", db_default="")
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    payment_method = models.CharField(max_length=64)
    refund_to = models.CharField(
        max_length=64,
        default="",
        db_default="",
        blank=True,
        help_text="Where its money goes back to, if not to what it was paid with.",
    )
    user_id = models.CharField(max_length=64, default="", db_default="", blank=True)
    status = models.CharField(max_length=9, choices=PaymentStatus)
    taken_by = TextId(default="", db_default="", blank=True)
    ask_at = models.DateTimeField(null=True, blank=True)
    times_asked = models.PositiveIntegerField(default=0, db_default=0)
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
                # An amount of 0 only in a saga, whose goods are free: no money moves then.
                condition=Q(status__in=["refused", "cancelled"])
                | Q(amount__gt=0)
                | Q(amount=0, saga_id__isnull=False),
                name="payment_amount_positive",
            ),
            models.CheckConstraint(  # refuses NaN, which PostgreSQL orders above all numbers
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
            models.Index(
                fields=["ask_at"], condition=Q(ask_at__isnull=False), name="payment_to_ask"
            ),
        ]

    def __str__(self) -> str:
        return f"payment {self.id}"


class Refund(models.Model):
    """Money given back: the whole payment, once."""

    granted = ADDED_ONLY

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


class CreditAccount(models.Model):
    """A user's credits, with which bills can be paid: granted and not spent."""

    granted = KEPT

    user_id = models.CharField(primary_key=True, max_length=64, db_collation="C")
    initial = models.DecimalField(max_digits=14, decimal_places=2)
    balance = models.DecimalField(max_digits=14, decimal_places=2)
    spent = models.DecimalField(max_digits=14, decimal_places=2, default=0, db_default=0)
    refunded = models.DecimalField(max_digits=14, decimal_places=2, default=0, db_default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(initial=models.F("balance") + models.F("spent") - models.F("refunded")),
                name="credits_add_up",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{name}__range": (0, bounds.MOST_MONEY)}),
                    name=f"credits_{name}_is_money",
                )
                for name in ("initial", "balance", "spent", "refunded")
            ),
        ]

    def __str__(self) -> str:
        return f"credits of {self.user_id}"


class CreditKind(models.TextChoices):
    GRANTED = "granted"
    SPENT = "spent"
    REFUNDED = "refunded"


class CreditMovement(models.Model):
    """A change of an account; at most one of each kind a step of a saga."""

    granted = ADDED_ONLY

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="movements")
    kind = models.CharField(max_length=8, choices=CreditKind)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    saga_id = TextId(null=True, blank=True)
    step = TextId(default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["saga_id", "step", "kind"], name="credit_movement_once_a_kind"
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0, amount__lte=bounds.MOST_MONEY),
                name="credit_movement_is_money",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} of {self.account_id}"


class BarrierEntry(sagas.BarrierEntry):
    class Meta(sagas.BarrierEntry.Meta):
        verbose_name_plural = "barrier entries"


class Decision(sagas.Decision):
    pass


class Intervention(sagas.Intervention):
    pass


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
