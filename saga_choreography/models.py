"""Choreographed sagas, their trails, and interventions."""

from django.db import models
from django.db.models import Q

from contracts.states import SagaStatus
from messaging import models as messaging
from participant import models as participant
from participant.models import Json, TextId
from saga_choreography.store import SagaPhase


class Saga(models.Model):
    """A saga and its phase; the states of its steps follow from its trail.

    Written with its first event and when its phase changes, not with every event: twice for a saga
    that completes. `saga`: its name in the catalogue; `subject`: the cart or order it is about;
    `user_id`: its customer.
    """

    for_admin = participant.CHANGED_ONLY

    saga_id = TextId(primary_key=True)
    saga = TextId()
    subject = TextId()
    user_id = TextId(default="", db_default="", blank=True)
    context = Json(help_text="The payload, as it was frozen at acceptance.")
    status = models.CharField(max_length=12, choices=[(s.value, s.value) for s in SagaStatus])
    phase = models.PositiveSmallIntegerField(choices=[(s.value, s.name.lower()) for s in SagaPhase])
    failure_step = models.CharField(max_length=64, default="", db_default="", blank=True)
    failure_code = models.CharField(max_length=64, default="", db_default="", blank=True)
    failure_detail = models.TextField(default="", db_default="", blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    watch_at = models.DateTimeField(
        null=True, blank=True, help_text="When the watchdog checks it next; empty: never again."
    )
    redrives = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Since it last moved."
    )
    redriven_at = models.DateTimeField(null=True, blank=True)
    stop_requested_at = models.DateTimeField(
        null=True, blank=True, help_text="When its undo was requested, while it ran."
    )
    waiting_step = models.CharField(max_length=64, default="", db_default="", blank=True)
    waiting_for = models.CharField(max_length=32, default="", db_default="", blank=True)
    waiting_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since when its last waiting step has waited for a decision.",
    )
    waiting_until = models.DateTimeField(null=True, blank=True)
    waited_seconds = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text="For earlier decisions; these do not count towards its deadline.",
    )
    parked_at = models.DateTimeField(null=True, blank=True)
    parked_step = models.CharField(max_length=64, default="", db_default="", blank=True)
    parked_reason = models.TextField(default="", db_default="", blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in SagaStatus]),
                name="choreography_status_known",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=[s.value for s in SagaStatus if s.is_final])
                | Q(finished_at__isnull=False),
                name="choreography_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status=SagaStatus.PARKED.value)
                | (Q(parked_at__isnull=False) & ~Q(parked_step="") & ~Q(parked_reason="")),
                name="choreography_parked_has_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["started_at", "saga_id"], name="choreography_newest"),
            models.Index(
                fields=["watch_at"],
                condition=Q(watch_at__isnull=False),
                name="choreography_watched",
            ),
            models.Index(
                fields=["saga_id"],
                condition=Q(status=SagaStatus.PARKED.value),
                name="choreography_parked",
            ),
        ]

    def __str__(self) -> str:
        return f"choreographed {self.saga} {self.saga_id}"


class SagaEvent(models.Model):
    """An event of a saga, as it was first seen. Append-only.

    The context that each event carries is the saga's, and is not stored again; the results in it
    are.
    """

    for_admin = "SELECT, INSERT, DELETE"
    granted = "SELECT, INSERT, DELETE"

    pk = models.CompositePrimaryKey("saga_id", "event_type")
    saga_id = TextId()
    event_type = TextId()
    event_id = TextId()
    cause_id = TextId()
    requested_at = models.DateTimeField(null=True)
    occurred_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    data = Json(help_text="Its result or its failure, and the results of earlier steps.")

    def __str__(self) -> str:
        return f"{self.event_type} of {self.saga_id}"


class Action(models.TextChoices):
    ABORT = "abort"
    RETURN = "return"
    RETRY = "retry"
    SKIP = "skip"


class Intervention(participant.Intervention):
    """What was requested for a saga, or done to a message: by whom, when and why."""

    saga = models.ForeignKey(
        Saga, on_delete=models.CASCADE, related_name="interventions", null=True, blank=True
    )
    step = models.CharField(
        max_length=64,
        default="",
        db_default="",
        blank=True,
        help_text="The step at which the saga was parked.",
    )


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
