"""Couriers and deliveries. Constraints guard the invariants, whatever the code does."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from messaging import models as messaging
from participant import models as participant
from participant.models import Json, TextId


class Courier(models.Model):
    """A courier. `busy`: how many deliveries it has now, at most `capacity`.

    It serves the destinations in its province and city; without a city all of its province; without
    a province the destinations that name none.
    """

    for_admin = participant.READ_AND_WRITE

    name = models.CharField(max_length=200)
    phone_number = models.CharField(max_length=64, blank=True, default="", db_default="")
    province = models.CharField(max_length=200, blank=True, default="", db_default="")
    city = models.CharField(max_length=200, blank=True, default="", db_default="")
    capacity = models.PositiveIntegerField(help_text="The most deliveries at once.")
    busy = models.PositiveIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(busy__gte=0, busy__lte=F("capacity")), name="courier_within_capacity"
            )
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryStatus(models.TextChoices):
    SCHEDULED = "scheduled"
    IN_TRANSIT = "in_transit"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class Delivery(models.Model):
    """A delivery for one step of a saga. `subject`: the order it is for; `user_id`: the saga's
    customer, if it has one.

    It takes a place of its courier's capacity while it is scheduled or in transit.
    """

    granted = participant.KEPT

    id = models.BigAutoField(primary_key=True)
    saga_id = TextId()
    step = TextId()
    subject = TextId(db_index=True)
    user_id = TextId(default="", db_default="", blank=True)
    courier = models.ForeignKey(Courier, on_delete=models.PROTECT, related_name="deliveries")
    destination = Json(default=dict)
    status = models.CharField(
        max_length=10, choices=DeliveryStatus, default=DeliveryStatus.SCHEDULED
    )
    cancelled_because = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["saga_id", "step"], name="delivery_once_a_step"),
            models.CheckConstraint(
                condition=~Q(status="delivered") | Q(delivered_at__isnull=False),
                name="delivery_delivered_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="cancelled") | Q(cancelled_at__isnull=False),
                name="delivery_cancelled_has_time",
            ),
        ]

    def __str__(self) -> str:
        return f"delivery of saga {self.saga_id}"


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
