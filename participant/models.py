"""The barrier's table, to be made concrete in each service."""

from django.db import models
from django.db.models.functions import Now

from participant.fields import Json, TextId


class BarrierStatus(models.TextChoices):
    DONE = "done"
    REFUSED = "refused"


class BarrierEntry(models.Model):
    """What this service has answered for a step of a saga, in one direction.

    `saga`: the saga's name; empty where somebody has called the step by hand.

    Written in the transaction of the effect itself: the effect is there if and only if its row is.
    `status` is null only inside that transaction.
    """

    id = models.BigAutoField(primary_key=True)
    saga_id = TextId()
    step = TextId()
    saga = TextId(default="", db_default="", blank=True)
    direction = models.CharField(
        max_length=4, choices=[(d, d) for d in ("do", "undo")], db_collation="C"
    )
    status = models.CharField(max_length=8, choices=BarrierStatus, null=True)  # noqa: DJ001 -- null: not decided yet
    code = models.CharField(max_length=64, default="", db_default="")
    detail = models.TextField(default="", db_default="")
    data = Json(default=dict, db_default={})
    entered_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                fields=["saga_id", "step", "direction"], name="%(app_label)s_barrier_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.direction} {self.step} of {self.saga_id}"
