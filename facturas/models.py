"""Bills and invoices. Constraints hold what must never break, whatever the code does."""

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
    """What a step of a saga has billed a user. `subject`: what it is for.

    `status`: open, then paid with its invoice, or failed. A paid one that is given back is
    credited: its invoice stays, and a credit note is there beside it.
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
    closed_at = models.DateTimeField(null=True, blank=True, help_text="Failed, or credited.")

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
    """An invoice, or the credit note that takes one back: never changed, never deleted.

    `number`: both kinds have one sequence a year, without gaps: `2026-000001`.
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
    """How many numbers a year has given out: its row is locked by who gives one, until that is
    committed, so that none is lost.
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
