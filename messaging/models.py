"""The abstract tables of messaging, which each service makes concrete."""

from django.db import models
from django.db.models.functions import Now

from participant.models import CHANGED_ONLY, READ_AND_WRITE, Json, TextId

LONGEST_REASON = 2_000


def storable(*, text: str, longest: int = LONGEST_REASON) -> str:
    """The beginning of any text, without characters that PostgreSQL can't store."""
    kept = text[:longest].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return kept.encode(errors="replace").decode()


class OutboxEntry(models.Model):
    """An event that this service publishes, written in the transaction of the change it reports."""

    for_admin = READ_AND_WRITE

    id = models.BigAutoField(primary_key=True)
    event_id = TextId()
    event_type = TextId()
    saga_id = TextId()
    body = models.TextField(help_text="The event as JSON, as it is sent.")
    created_at = models.DateTimeField(db_default=Now())
    # When it was given to the broker; set once the broker has confirmed it.
    sent_at = models.DateTimeField(null=True, blank=True)
    # Postponed: the broker did not take it (`reason`), and other events don't wait for it.
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(default="", db_default="", blank=True)

    class Meta:
        abstract = True
        verbose_name_plural = "outbox entries"
        indexes = [
            models.Index(
                fields=["id"],
                condition=models.Q(sent_at=None, next_attempt_at=None),
                name="%(app_label)s_to_send",
            ),
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(sent_at=None, next_attempt_at__isnull=False),
                name="%(app_label)s_postponed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} of {self.saga_id}"


class FailedStatus(models.TextChoices):
    RETRYING = "retrying"
    DEAD_LETTERED = "dead_lettered"
    HANDLED = "handled"
    DISCARDED = "discarded"


class FailedMessage(models.Model):
    """A message whose handling failed: retried with growing delays, then dead-lettered."""

    for_admin = CHANGED_ONLY

    id = models.BigAutoField(primary_key=True)
    event_id = TextId()
    event_type = TextId()
    saga_id = TextId()
    body = models.BinaryField()
    status = models.CharField(max_length=13, choices=FailedStatus, default=FailedStatus.RETRYING)
    attempts = models.PositiveIntegerField(default=1)
    reason = models.TextField()
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(status="retrying"),
                name="%(app_label)s_due",
            ),
            models.Index(
                fields=["saga_id"],
                condition=models.Q(status__in=["retrying", "dead_lettered"]),
                name="%(app_label)s_failed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} of {self.saga_id}"


class WorkerHeartbeat(models.Model):
    """A worker process of this service: updated once a second while it lives, read by /health."""

    id = models.BigAutoField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    counters = Json(default=dict, db_default={})
    complaints = Json(default=list, db_default=[])

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"worker {self.pid} on {self.host}"
