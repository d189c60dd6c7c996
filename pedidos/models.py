"""Orders. Constraints guard the invariants, whatever the code does."""

from django.db import models
from django.db.models import Q

from contracts import bounds
from coordination import models as coordination
from coordination.models import AcceptedSaga
from messaging import models as messaging
from participant import models as participant
from participant.models import Json


class OrderStatus(models.TextChoices):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    DISPATCHED = "dispatched"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Order(AcceptedSaga):
    """An order, which is a saga; its id is the saga's.

    `status` is the saga's. `order_status` is shown to its user: failed if a step was refused,
    cancelled if the saga was stopped or returned, or if its definition calls any such end so. Only
    envios knows whether it was delivered. It stays dispatched until a return has ended.
    """

    items = Json(help_text="The products ordered, with their names at that time.")
    order_status = models.CharField(max_length=10, choices=OrderStatus, default=OrderStatus.PENDING)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    unconfirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta(AcceptedSaga.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(total_amount__range=(0, bounds.MOST_MONEY)),
                name="placed_order_total_is_money",
            ),
            models.CheckConstraint(
                condition=Q(order_status__in=["pending", "confirmed"], ended_at=None)
                | ~Q(order_status__in=["pending", "confirmed"]) & Q(ended_at__isnull=False),
                name="placed_order_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(order_status__in=["confirmed", "dispatched"])
                | Q(confirmed_at__isnull=False),
                name="placed_order_confirmed_has_time",
            ),
        ]
        indexes = [
            *AcceptedSaga.Meta.indexes,
            models.Index(fields=["accepted_at", "saga_id"], name="placed_order_newest"),
        ]

    def __str__(self) -> str:
        return f"order {self.saga_id}"


class Address(coordination.PersonalData):
    """An order's full address; the saga carries the province and the city only."""

    class Meta:
        verbose_name_plural = "addresses"


class Pause(coordination.Pause):
    pass


class IdempotencyKey(coordination.IdempotencyKey):
    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user_id", "key"], name="order_key_once_a_user")
        ]


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
