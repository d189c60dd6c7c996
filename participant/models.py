"""The tables of the barrier and of decisions, to be made concrete in each service, and the columns
that the tables of every service have alike; the words for what a table's `granted` and `for_admin`
say (`participant.roles`).
"""

import json
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

READ_AND_WRITE = "SELECT, INSERT, UPDATE, DELETE"
KEPT = "SELECT, INSERT, UPDATE"
"""Of what is never deleted."""
READ_ONLY, CHANGED_ONLY = "SELECT", "SELECT, UPDATE"
ADDED_ONLY = "SELECT, INSERT"
"""Of a ledger: what was written stays as it is."""


class TextId(models.CharField):  # type: ignore[type-arg]  # no type arguments at runtime
    """Up to 64 characters with the collation "C": compared byte by byte, as in Python.

    Named to the database by the type's long name, or Django would add a second index to each one
    that is indexed, for LIKE; with this collation the first one serves LIKE too.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("max_length", 64)
        options.setdefault("db_collation", "C")
        super().__init__(*args, **options)

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"character varying({self.max_length})"


def owned_by(user_id: str | None, field: str = "user_id") -> models.Q:
    """Which rows somebody may see, who sees their own alone; None: all."""
    return models.Q() if user_id is None else models.Q(**{field: user_id})


class LenientJson(json.JSONDecoder):
    """For a JSONField that a person looks at: what Python can't hold (too deep, a number of 5,000
    digits) is shown as its text.
    """

    def decode(self, s: str, *_: Any) -> Any:
        """Raises JSONDecodeError, for which Django gives the text itself."""
        try:
            return super().decode(s)
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), s[:40], 0) from error


class Json(models.JSONField):
    """A JSONField that is read so. To migrations it is a JSONField as any other."""

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
    """What this service has answered for a step of a saga, in one direction.

    `saga`: the saga's name; empty where somebody has called the step by hand.

    Written in the transaction of the effect itself: the effect is there if and only if its row is.
    `status` is null only inside that transaction. One that is `waiting` stays open until somebody
    has decided (`Decision`): its lock decides between all who come at once.
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
    """What a step has asked somebody, and what was decided: of each step that waits, or has waited.

    `command`: of the step. `cause`: the event or request that asked for it, whose answer is
    published with the decision; empty where it was asked for over HTTP. `decided_by`: who is to
    decide now; `until`: when that is overdue. `verdict` to `decided_at`: what a person has decided,
    or that it is overdue or withdrawn. `closed_at`: null while the step waits. `is_to_be_told`:
    whether the coordinator rests meanwhile, and must be told once it is closed.

    Who was asked what, and when, is written once.
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
    """What somebody did to rows of this service (participant.trail): only ever added.

    `subject`: to what (`product 4`, `message 12`); `detail`: what of it. `via`: by which door.
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
