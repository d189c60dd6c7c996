"""The abstract tables of an owner, which each service that accepts sagas makes concrete."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts.states import SagaStatus
from participant.models import CHANGED_ONLY, KEPT, Json, TextId


class AcceptedSaga(models.Model):
    """A saga that its owner has accepted. Its context is frozen then; its last step or last undo
    ends it.

    All measurements take `ended_at` as the end, in every pattern.
    """

    for_admin = CHANGED_ONLY
    granted = KEPT

    saga_id = TextId(primary_key=True)
    saga = TextId(help_text="The name of its definition in the catalogue.")
    user_id = models.CharField(max_length=64, db_collation="C", help_text="Whose it is.")
    saga_pattern = models.CharField(max_length=32)
    context = Json(default=dict, help_text="The data for its steps.")
    total_amount = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    status = models.CharField(
        max_length=12, choices=[(s, s) for s in SagaStatus], default=SagaStatus.PENDING
    )
    failure_step = models.CharField(max_length=64, default="", db_default="", blank=True)
    failure_code = models.CharField(max_length=64, default="", db_default="", blank=True)
    failure_detail = models.TextField(default="", db_default="", blank=True)
    accepted_at = models.DateTimeField(db_default=Now())
    handed_over_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # Closed: all other rows of it are deleted, in every service (coordination.closing).
    closed_at = models.DateTimeField(null=True, blank=True)
    # Dead-lettered: it can't be handed over (with the reason), and others don't wait for it.
    dead_lettered_at = models.DateTimeField(null=True, blank=True)
    dead_letter_reason = models.TextField(default="", db_default="", blank=True)

    class Meta:
        abstract = True
        indexes = [
            models.Index(
                fields=["accepted_at"],
                condition=Q(handed_over_at=None),
                name="%(class)s_not_handed_over",
            ),
            models.Index(
                fields=["dead_lettered_at", "saga_id"],
                condition=Q(dead_lettered_at__isnull=False),
                name="%(class)s_dead_letter",
            ),
            models.Index(
                fields=["accepted_at", "saga_id"],
                condition=Q(closed_at=None),
                name="%(class)s_not_closed",
            ),
            models.Index(
                fields=["user_id"], condition=Q(ended_at=None), name="%(class)s_under_way"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.saga} {self.saga_id}"


class PersonalData(models.Model):
    """An address that a saga was accepted with. Only its owner reads it; it never travels. Deleted
    by `manage.py forget`, once the saga ended long enough ago.
    """

    granted = "SELECT, INSERT, DELETE"
    is_private = True

    saga_id = TextId(primary_key=True)
    address = Json()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"address of {self.saga_id}"


class Pause(models.Model):
    """A saga that its owner does not accept until `resumed_at`, because an operator has paused it:
    in one pattern, or in all if `saga_pattern` is empty (coordination.pausing). Rows are kept.
    """

    for_admin = granted = "SELECT, INSERT, UPDATE (resumed_by, resume_reason, resumed_at)"

    id = models.BigAutoField(primary_key=True)
    saga = TextId()
    saga_pattern = models.CharField(max_length=32, default="", db_default="", blank=True)
    paused_by = models.CharField(max_length=150)
    reason = models.TextField()
    paused_at = models.DateTimeField(db_default=Now())
    resumed_by = models.CharField(max_length=150, default="", db_default="", blank=True)
    resume_reason = models.TextField(default="", db_default="", blank=True)
    resumed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                fields=["saga", "saga_pattern"],
                condition=Q(resumed_at=None),
                name="%(app_label)s_paused_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.saga}, {self.saga_pattern or 'every pattern'}"


class IdempotencyKey(models.Model):
    """An Idempotency-Key of a user, and its saga.

    `fingerprint`: of the request; a different request needs another key.
    """

    granted = "SELECT, INSERT, DELETE"

    id = models.BigAutoField(primary_key=True)
    user_id = models.CharField(max_length=64, db_collation="C")
    key = models.CharField(max_length=255, db_collation="C")
    saga_id = TextId(db_index=True)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["user_id", "key"], name="key_once_a_user"),
        ]

    def __str__(self) -> str:
        return f"key {self.key} of {self.user_id}"
