"""Sagas that run on Temporal, and what is still to be sent to it."""

from django.db import models
from django.db.models import Q

from coordination import conducted
from messaging import models as messaging
from participant import models as participant


class Definition(conducted.Definition):
    pass


class Saga(conducted.Saga):
    """Where one saga stood when its workflow last wrote it.

    `version` is the fence: the workflow counts its writes, and an older write is refused.
    `begun_at`: since when Temporal has its workflow. `decided_step`: a step that is decided, which
    is still to be sent to the workflow.
    """

    begun_at = models.DateTimeField(null=True, blank=True)
    decided_step = models.CharField(max_length=64, blank=True, default="", db_default="")

    class Meta:
        ordering = ["-started_at", "-saga_id"]
        indexes = [
            models.Index(
                fields=["started_at"], condition=Q(begun_at=None), name="temporal_saga_not_begun"
            ),
            models.Index(
                fields=["saga_id"], condition=~Q(decided_step=""), name="temporal_saga_decided"
            ),
            models.Index(
                fields=["parked_at"],
                condition=Q(parked_at__isnull=False),
                name="temporal_saga_parked",
            ),
            models.Index(fields=["-started_at", "-saga_id"], name="temporal_saga_newest"),
            models.Index(
                fields=["-started_at", "-saga_id"],
                condition=Q(finished_at=None),
                name="temporal_saga_open",
            ),
            models.Index(fields=["subject"], name="temporal_saga_subject"),
        ]


class SagaStep(conducted.SagaStep):
    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["saga", "position"], name="temporal_step_once_a_position"
            ),
        ]


class Intervention(participant.Intervention):
    """What an operator did to a saga. `version`: of the saga's row at the request. `told_at`: when
    it was sent to the workflow; null: not yet.
    """

    granted = "SELECT, INSERT, UPDATE (told_at)"

    saga = models.ForeignKey(
        Saga, on_delete=models.CASCADE, related_name="interventions", null=True, blank=True
    )
    step = models.CharField(max_length=64, default="", db_default="", blank=True)
    version = models.PositiveIntegerField(default=0, db_default=0)
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta(participant.Intervention.Meta):
        abstract = False
        indexes = [
            models.Index(
                fields=["id"],
                condition=Q(told_at=None, saga__isnull=False),
                name="temporal_intervention_not_told",
            ),
        ]


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
