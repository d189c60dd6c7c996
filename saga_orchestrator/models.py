"""The saga log. A row is a saga; every transition is one update of it, and of a step's row."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts.states import SagaStatus, StepStatus
from coordination import conducted
from messaging import models as messaging
from participant import models as participant


class Definition(conducted.Definition):
    pass


class Saga(conducted.Saga):
    """Where one saga stands.

    `version` is the fence: a transition is written only if the row still has the version that was
    read. `next_attempt_at`: from when on a runner may claim it; null once it has ended or is
    parked. A saga belongs to `runner` as long as that runner renews its lease. `asked_at`: since
    when the call that is due is out as a message; no runner holds the saga then, and
    `next_attempt_at` is when its patience is over.

    Of the columns that change only `next_attempt_at` and `parked_at` are indexed. A saga without
    faults changes the first once, at its end, so its transitions stay heap-only updates.
    """

    faults = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Faults of the call that is due now, so far."
    )
    reached = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="The position of the last step that may have been called by now: a process"
        " that died may have gone further than it had written.",
    )
    runner_id = models.BigIntegerField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_default=Now())
    asked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at", "-saga_id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[status.value for status in SagaStatus]),
                name="orchestrated_saga_status_known",
            ),
            models.CheckConstraint(
                condition=Q(finished_at=None)
                | Q(status__in=["completed", "compensated", "failed"], next_attempt_at=None),
                name="orchestrated_saga_finished_has_ended",
            ),
            models.CheckConstraint(
                condition=Q(parked_at=None) | Q(status="parked", next_attempt_at=None),
                name="orchestrated_saga_parked_waits_for_a_person",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="orchestrated_saga_due",
            ),
            models.Index(
                fields=["parked_at"],
                condition=Q(parked_at__isnull=False),
                name="orchestrated_saga_parked",
            ),
            models.Index(fields=["-started_at", "-saga_id"], name="orchestrated_saga_newest"),
            # For lists of parked, waiting and running sagas: a few among millions that have ended.
            models.Index(
                fields=["-started_at", "-saga_id"],
                condition=Q(finished_at=None),
                name="orchestrated_saga_open",
            ),
            models.Index(fields=["subject"], name="orchestrated_saga_subject"),
        ]


class SagaStep(conducted.SagaStep):
    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["saga", "position"], name="orchestrated_step_once_a_position"
            ),
            models.CheckConstraint(
                condition=Q(status__in=[status.value for status in StepStatus]),
                name="orchestrated_step_status_known",
            ),
        ]


class Intervention(participant.Intervention):
    """What an operator did to a saga, or to a message."""

    saga = models.ForeignKey(
        Saga, on_delete=models.CASCADE, related_name="interventions", null=True, blank=True
    )
    step = models.CharField(max_length=64, default="", db_default="", blank=True)


class Runner(models.Model):
    """A process that runs sagas. Once its lease has run out, other runners claim them."""

    id = models.BigAutoField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return f"runner {self.id} (process {self.pid} on {self.host})"


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
