"""Bills and invoices. Constraints guard the invariants, whatever the code does."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts import bounds
from messaging import models as messaging
from participant import models as participant
from participant.models import TextId

_IS_MONEY = Q(amount__range=(0, bounds.MOST_MONEY))


class BillStatus(models.TextChoices):
    OPEN = "open"
    PAID = "paid"
    FAILED = "failed"
    CREDITED = "credited"


class Bill(models.Model):
    """A bill that a step of a saga made for a user. `subject`: the booking it is for.

    `status`: open, then paid, with an invoice, or failed. A paid bill that is undone is credited:
    its invoice stays, and a credit note is added.
    """

    granted = participant.KEPT

    id = models.BigAutoField(primary_key=True)
    saga_id = TextId()
    step = TextId()
    subject = TextId(db_index=True)
    user_id = models.CharField(max_length=64)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    status = models.CharField(max_length=8, choices=BillStatus, default=BillStatus.OPEN)
    failed_because = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    paid_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(
        null=True, blank=True, help_text="When it failed or was credited."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["saga_id", "step"], name="bill_once_a_step"),
            models.CheckConstraint(condition=_IS_MONEY, name="bill_amount_is_money"),
            models.CheckConstraint(
                condition=~Q(status__in=["paid", "credited"]) | Q(paid_at__isnull=False),
                name="bill_paid_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["failed", "credited"]) | Q(closed_at__isnull=False),
                name="bill_closed_has_time",
            ),
        ]

    def __str__(self) -> str:
        return f"bill {self.pk} of saga {self.saga_id}"


class InvoiceKind(models.TextChoices):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class Invoice(models.Model):
    """An invoice, or the credit note that reverses one: never changed, never deleted.

    `number`: both kinds share one sequence a year, without gaps: `2026-000001`.
    """

    granted = participant.ADDED_ONLY

    number = TextId(primary_key=True)
    kind = models.CharField(max_length=11, choices=InvoiceKind)
    bill = models.ForeignKey(Bill, on_delete=models.PROTECT, related_name="invoices")
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    issued_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill", "kind"], name="invoice_once_a_bill_and_kind"),
            models.CheckConstraint(condition=_IS_MONEY, name="invoice_amount_is_money"),
        ]
        indexes = [models.Index(fields=["issued_at", "number"], name="invoice_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number}"


class InvoiceCounter(models.Model):
    """The last number of a year. Its row is locked until the invoice is committed, so no number is
    lost.
    """

    granted = participant.KEPT

    year = models.PositiveSmallIntegerField(primary_key=True)
    last = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.last} of {self.year}"


class BarrierEntry(participant.BarrierEntry):
    class Meta(participant.BarrierEntry.Meta):
        verbose_name_plural = "barrier entries"


class Intervention(participant.Intervention):
    pass


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
