"""Carts, checkouts and orders."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts import bounds
from coordination import models as coordination
from coordination.models import AcceptedSaga
from messaging import models as messaging
from participant import models as sagas
from participant.models import CHANGED_ONLY, KEPT, Json, TextId


class CartStatus(models.TextChoices):
    ACTIVE = "active"
    CHECKING_OUT = "checking_out"
    CHECKED_OUT = "checked_out"


class Cart(models.Model):
    """A shopper's cart. Locked (checking_out) while a checkout of it runs."""

    for_admin = CHANGED_ONLY

    id = TextId(primary_key=True)
    user_id = models.CharField(max_length=64, db_index=True)
    status = models.CharField(
        max_length=12, choices=CartStatus, default=CartStatus.ACTIVE, db_default=CartStatus.ACTIVE
    )
    version = models.PositiveIntegerField(
        default=1, db_default=1, help_text="Grows with every change of its items."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        indexes = [models.Index(fields=["created_at", "id"], name="cart_newest")]

    def __str__(self) -> str:
        return f"cart {self.id}"


class CartItem(models.Model):
    """A line of a cart, at the price that the shopper was shown last."""

    id = models.BigAutoField(primary_key=True)
    cart = models.ForeignKey(Cart, on_delete=models.CASCADE, related_name="items", db_index=False)
    product_id = TextId()
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)
    previous_price = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="The price before a refused checkout changed it; empty once one is accepted.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cart", "product_id"], name="cart_item_once_a_product"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="cart_item_quantity_positive"),
            models.CheckConstraint(
                condition=Q(unit_price__range=(0, bounds.MOST_PRICE)),
                name="cart_item_price_is_money",
            ),
            models.CheckConstraint(
                condition=Q(previous_price__range=(0, bounds.MOST_PRICE)),
                name="cart_item_previous_price_is_money",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of product {self.product_id}"


class Checkout(AcceptedSaga):
    """A checkout that was accepted, and the cart's lines as they were frozen then."""

    cart = models.ForeignKey(Cart, on_delete=models.PROTECT, related_name="checkouts")
    cart_version = models.PositiveIntegerField()
    items = Json(help_text="The lines as they were frozen.")
    price_changes = Json(
        default=list,
        db_default=[],
        help_text="Products that had become cheaper since the cart showed them.",
    )

    class Meta(AcceptedSaga.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["cart"],
                condition=Q(ended_at=None) | Q(status="completed"),
                name="checkout_once_a_cart",
            ),
            models.CheckConstraint(
                condition=Q(total_amount__range=(0, bounds.MOST_MONEY)),
                name="checkout_total_is_money",
            ),
        ]
        indexes = [
            *AcceptedSaga.Meta.indexes,
            models.Index(fields=["accepted_at", "saga_id"], name="checkout_newest"),
        ]


class Address(coordination.PersonalData):
    """The billing address of a checkout."""

    class Meta:
        verbose_name_plural = "addresses"


class IdempotencyKey(coordination.IdempotencyKey):
    pass


class Pause(coordination.Pause):
    pass


class OrderStatus(models.TextChoices):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Order(models.Model):
    """What was bought; its lines are the checkout's."""

    granted = KEPT

    id = TextId(primary_key=True)
    checkout = models.OneToOneField(
        Checkout, on_delete=models.PROTECT, related_name="order", db_column="saga_id"
    )
    cart_id = TextId(db_index=True)
    user_id = models.CharField(max_length=64)
    total_amount = models.DecimalField(max_digits=14, decimal_places=2)
    status = models.CharField(max_length=9, choices=OrderStatus, default=OrderStatus.PENDING)
    cancelled_because = models.CharField(max_length=64, default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    confirmed_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(total_amount__range=(0, bounds.MOST_MONEY)), name="order_total_is_money"
            ),
            models.CheckConstraint(
                condition=~Q(status="confirmed") | Q(confirmed_at__isnull=False),
                name="order_confirmed_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="cancelled") | Q(cancelled_at__isnull=False),
                name="order_cancelled_has_time",
            ),
        ]
        indexes = [models.Index(fields=["created_at", "id"], name="checkout_order_newest")]

    def __str__(self) -> str:
        return f"order {self.id}"


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
