"""Charges. Constraints guard the invariants, whatever the code does."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts import bounds
from participant.models import TextId


class ChargeStatus(models.TextChoices):
    PROCESSING = "processing"
    """Counts as captured from `answers_at` on, even before the row is updated."""
    CAPTURED = "captured"
    REFUSED = "refused"
    REFUNDED = "refunded"
    VOIDED = "voided"


class Charge(models.Model):
    """A charge under a key: processing, captured, refused, refunded or voided.

    A refused charge keeps its code when it is voided. `past`: 0 while the key belongs to this
    charge, afterwards the charge's own id.
    """

    granted = "SELECT, INSERT, UPDATE (status, past, refunded_at)"

    id = models.BigAutoField(primary_key=True)
    key = TextId(max_length=bounds.MOST_KEY)
    past = models.BigIntegerField(default=0, db_default=0)
    saga_id = TextId(default="", db_default="", blank=True)
    saga = TextId(default="", db_default="", blank=True)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    payment_method = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64, default="", db_default="", blank=True)
    status = models.CharField(max_length=10, choices=ChargeStatus)
    code = models.CharField(max_length=64, default="", db_default="", blank=True)
    detail = models.TextField(default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    answers_at = models.DateTimeField(db_default=Now())
    key_until = models.DateTimeField()
    refunded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "past"], name="charge_once_a_key"),
            models.CheckConstraint(
                condition=Q(status__in=["refused", "voided"]) | Q(amount__gt=0),
                name="charge_amount_positive",
            ),
            models.CheckConstraint(  # refuses NaN, which PostgreSQL orders above all numbers
                condition=Q(amount__range=(0, bounds.MOST_MONEY)), name="charge_amount_is_money"
            ),
            models.CheckConstraint(
                condition=Q(status="voided")
                | Q(status="refused", code__gt="")
                | ~Q(status="refused") & Q(code=""),
                name="charge_refused_with_code",
            ),
            models.CheckConstraint(
                condition=Q(status="refunded", refunded_at__isnull=False)
                | ~Q(status="refunded") & Q(refunded_at=None),
                name="charge_refunded_at_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["saga_id"], condition=~Q(saga_id=""), name="charge_of_saga")
        ]

    def __str__(self) -> str:
        return f"charge {self.key}"
