"""Products and reservations. Constraints guard the invariants, whatever the code does."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from contracts import bounds
from messaging import models as messaging
from participant import models as sagas
from participant.models import ADDED_ONLY, KEPT, READ_AND_WRITE, TextId


class Product(models.Model):
    """A product and its stock: initial = available + reserved + sold, always (audit, group 1)."""

    for_admin = READ_AND_WRITE

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", db_default="")
    price = models.DecimalField(max_digits=12, decimal_places=2)
    category = models.CharField(max_length=100, blank=True, default="", db_default="")
    sku = models.CharField(max_length=64, unique=True)
    initial = models.BigIntegerField(help_text="All pieces that ever came in.")
    available = models.BigIntegerField()
    reserved = models.BigIntegerField(default=0, db_default=0)
    sold = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(price__range=(0, bounds.MOST_PRICE)), name="product_price_is_money"
            ),
            models.CheckConstraint(
                condition=Q(available__gte=0, reserved__gte=0, sold__gte=0),
                name="product_stock_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(initial=F("available") + F("reserved") + F("sold")),
                name="product_stock_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.sku})"


class ReservationStatus(models.TextChoices):
    RESERVED = "reserved"
    RELEASED = "released"
    EXPIRED = "expired"
    COMMITTED = "committed"
    RESTORED = "restored"


class Reservation(models.Model):
    """What one step of a saga has reserved. `subject`: the cart or order it is for; `user_id`: the
    saga's customer, if it has one.
    """

    granted = KEPT

    id = models.BigAutoField(primary_key=True)
    saga_id = TextId()
    step = TextId()
    subject = TextId(db_index=True)
    user_id = TextId(default="", db_default="", blank=True)
    status = models.CharField(
        max_length=9, choices=ReservationStatus, default=ReservationStatus.RESERVED
    )
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["saga_id", "step"], name="reservation_once_a_step")
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(status="reserved"), name="reservation_due"
            ),
            models.Index(
                fields=["user_id"], condition=Q(status="reserved"), name="reservation_of_user"
            ),
        ]

    def __str__(self) -> str:
        return f"reservation of saga {self.saga_id}"


class ReservationLine(models.Model):
    """The quantity of one product in a reservation."""

    granted = ADDED_ONLY

    id = models.BigAutoField(primary_key=True)
    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+", db_index=False)
    quantity = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reservation", "product"], name="reservation_line_once_a_product"
            ),
            models.CheckConstraint(
                condition=Q(quantity__gt=0), name="reservation_line_quantity_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of product {self.product_id}"


class BarrierEntry(sagas.BarrierEntry):
    class Meta(sagas.BarrierEntry.Meta):
        verbose_name_plural = "barrier entries"


class Intervention(sagas.Intervention):
    pass


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
