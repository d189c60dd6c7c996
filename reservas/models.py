"""Slots and bookings. Constraints guard the invariants, whatever the code does."""

from decimal import Decimal

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now

from contracts import bounds
from coordination import models as coordination
from coordination.models import AcceptedSaga
from messaging import models as messaging
from participant import models as participant

MOST_PRICE = Decimal("1000000.00")
"""An hour's highest price: the price of the longest booking still fits its column."""


class Slot(models.Model):
    """Something that one user at a time can have: a room, a parking space."""

    for_admin = participant.READ_AND_WRITE

    name = models.CharField(max_length=bounds.MOST_NAME)
    price_per_hour = models.DecimalField(max_digits=9, decimal_places=2)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(price_per_hour__range=(0, MOST_PRICE)), name="slot_price_is_money"
            )
        ]

    def __str__(self) -> str:
        return self.name


class BookingStatus(models.TextChoices):
    PENDING = "pending"
    APPROVED = "approved"
    RESERVED = "reserved"
    FAILED = "failed"
    CANCELLED = "cancelled"


HOLDING = (BookingStatus.PENDING, BookingStatus.APPROVED, BookingStatus.RESERVED)
"""The statuses in which a booking holds its slot."""


class Booking(AcceptedSaga):
    """A booking, which is a saga; its id is the saga's, its price the saga's total.

    `status` is the saga's. `booking_status` is shown to its user: failed if a step was refused,
    cancelled if the saga was stopped or returned. `withdrawn_at`: when its approval was undone.
    """

    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="bookings")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    auto_approve = models.BooleanField(default=False)
    booking_status = models.CharField(
        max_length=9, choices=BookingStatus, default=BookingStatus.PENDING
    )
    approved_by = models.CharField(max_length=150, default="", db_default="", blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta(AcceptedSaga.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(total_amount__range=(0, bounds.MOST_MONEY)),
                name="booking_price_is_money",
            ),
            models.CheckConstraint(
                condition=Q(starts_at__lt=F("ends_at")), name="booking_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(booking_status__in=["pending", "approved"], ended_at=None)
                | ~Q(booking_status__in=["pending", "approved"]) & Q(ended_at__isnull=False),
                name="booking_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(booking_status__in=["approved", "reserved"])
                | Q(approved_at__isnull=False),
                name="booking_approved_has_time",
            ),
            # The slot as a range of one number: PostgreSQL has GiST operators for ranges, while
            # `slot WITH =` would need an extension.
            ExclusionConstraint(
                name="booking_slot_once_at_a_time",
                expressions=[
                    (
                        Func(F("slot"), F("slot"), Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func(F("starts_at"), F("ends_at"), function="tstzrange"),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(booking_status__in=HOLDING),
            ),
        ]
        indexes = [
            *AcceptedSaga.Meta.indexes,
            models.Index(fields=["accepted_at", "saga_id"], name="booking_newest"),
        ]

    def __str__(self) -> str:
        return f"booking {self.saga_id}"


class Pause(coordination.Pause):
    pass


class IdempotencyKey(coordination.IdempotencyKey):
    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user_id", "key"], name="booking_key_once_a_user")
        ]


class BarrierEntry(participant.BarrierEntry):
    class Meta(participant.BarrierEntry.Meta):
        verbose_name_plural = "barrier entries"


class Decision(participant.Decision):
    pass


class Intervention(participant.Intervention):
    pass


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
