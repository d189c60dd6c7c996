"""Abstract tables of the barrier, of decisions and of the trail, which each service makes concrete;
fields that all services share; and the values of a table's `granted` and `for_admin`
(`participant.roles`).
"""

import json
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

READ_AND_WRITE = "SELECT, INSERT, UPDATE, DELETE"
KEPT = "SELECT, INSERT, UPDATE"
"""For rows that are never deleted."""
READ_ONLY, CHANGED_ONLY = "SELECT", "SELECT, UPDATE"
ADDED_ONLY = "SELECT, INSERT"
"""For a ledger, whose rows never change."""


class TextId(models.CharField):  # type: ignore[type-arg]  # no type arguments at runtime
    """Up to 64 characters with the collation "C": compared byte by byte, as in Python.

    Its database type has the long name, or Django would add a second index for LIKE to each indexed
    column; with this collation the first index serves LIKE too.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("max_length", 64)
        options.setdefault("db_collation", "C")
        super().__init__(*args, **options)

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"character varying({self.max_length})"


def owned_by(user_id: str | None, field: str = "user_id") -> models.Q:
    """The rows that this user owns; None: all rows."""
    return models.Q() if user_id is None else models.Q(**{field: user_id})


class LenientJson(json.JSONDecoder):
    """For a JSONField in the admin: JSON that Python can't hold (too deep, a number of 5,000
    digits) is shown as its text.
    """

    def decode(self, s: str, *_: Any) -> Any:
        """Raises JSONDecodeError, for which Django returns the text itself."""
        try:
            return super().decode(s)
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), s[:40], 0) from error


class Json(models.JSONField):
    """A JSONField with LenientJson. In migrations it is a plain JSONField."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"decoder": LenientJson} | options)

    def deconstruct(self) -> Any:
        name, _, args, options = super().deconstruct()
        del options["decoder"]
        return name, "django.db.models.JSONField", args, options


class BarrierStatus(models.TextChoices):
    DONE = "done"
    REFUSED = "refused"
    WAITING = "waiting"


class BarrierEntry(models.Model):
    """This service's outcome of a step of a saga, in one direction.

    `saga`: the saga's name; empty if the step was called by hand.

    Written in the transaction of the effect: the effect is there if and only if its row is.
    `status` is null only inside that transaction. A row that is `waiting` stays open until its
    decision (`Decision`); the row's lock serializes decisions, undos and blocks that come at once.
    """

    for_admin = KEPT

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


class Decision(models.Model):
    """The decision of a step that waits, or has waited.

    `command`: of the step. `cause`: the event or request message that asked for the step; its
    answer is published with the decision. Empty if the step was requested over HTTP. `decided_by`:
    who has to decide now; `until`: when that is overdue. `verdict` to `decided_at`: the decision of
    a person, or that it is overdue or withdrawn. `closed_at`: null while the step waits.
    `is_to_be_told`: whether the coordinator must be told once the decision is closed.

    The columns that are not in the UPDATE below are written once.
    """

    granted = (
        "SELECT, INSERT, DELETE, UPDATE (decided_by, until, verdict, by, reason, data, decided_at,"
        " closed_at, is_to_be_told)"
    )
    for_admin = granted

    id = models.BigAutoField(primary_key=True)
    saga_id = TextId()
    step = TextId()
    saga = TextId(default="", db_default="", blank=True)
    action = TextId()
    decided_by = models.CharField(max_length=32)
    opened_at = models.DateTimeField(db_default=Now())
    until = models.DateTimeField()
    command = Json()
    cause = models.TextField(default="", db_default="", blank=True)
    verdict = models.CharField(max_length=9, default="", db_default="", blank=True)
    by = models.CharField(max_length=150, default="", db_default="", blank=True)
    reason = models.TextField(default="", db_default="", blank=True)
    data = Json(default=dict, db_default={})
    decided_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    is_to_be_told = models.BooleanField(default=False, db_default=False)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                fields=["saga_id", "step"], name="%(app_label)s_decision_once_a_step"
            ),
            models.CheckConstraint(
                condition=models.Q(verdict__in=["", "yes", "no", "overdue", "withdrawn"]),
                name="%(app_label)s_decision_verdict_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["until"],
                condition=models.Q(closed_at=None),
                name="%(app_label)s_decision_due",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(closed_at=None, verdict=""),
                name="%(app_label)s_decision_open",
            ),
            models.Index(
                fields=["closed_at"],
                condition=models.Q(closed_at__isnull=False, is_to_be_told=True),
                name="%(app_label)s_decision_untold",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step} of {self.saga_id}: {self.verdict or 'open'}"


class Intervention(models.Model):
    """What a person or the service did to rows of this service (participant.trail): only added.

    `subject`: the row (`product 4`, `message 12`); `detail`: what changed. `via`: the door.
    """

    for_admin = granted = ADDED_ONLY

    id = models.BigAutoField(primary_key=True)
    action = models.CharField(max_length=32)
    subject = models.CharField(max_length=150, default="", db_default="", blank=True)
    detail = models.TextField(default="", db_default="", blank=True)
    requested_by = models.CharField(max_length=150)
    reason = models.TextField(default="", db_default="", blank=True)
    requested_at = models.DateTimeField(db_default=Now())
    via = models.CharField(max_length=16, default="", db_default="", blank=True)
    jti = models.CharField(max_length=64, default="", db_default="", blank=True)
    trace_id = models.CharField(max_length=32, default="", db_default="", blank=True)

    class Meta:
        abstract = True
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject} by {self.requested_by}"
