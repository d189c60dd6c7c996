"""The saga log. A row is a saga; every transition is one update of it, and of a step's row."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from contracts.saga import Direction
from contracts.states import SagaStatus, StepStatus
from messaging import models as messaging
from participant.models import Json


def _choices(words: type[SagaStatus | StepStatus | Direction]) -> list[tuple[str, str]]:
    return [(word.value, word.value) for word in words]


class Definition(models.Model):
    """The steps of a saga as they were when sagas started with them: a deploy does not change a
    saga in flight. One row a version of the list, shared by its sagas (1 KB less a saga).
    """

    digest = models.CharField(max_length=64, primary_key=True, db_collation="C")
    name = models.CharField(max_length=64)
    steps = Json()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.name} {self.digest[:8]}"


class Saga(models.Model):
    """Where one saga stands.

    `version` is the fence: a transition is written only where it is still the one that was read.
    `next_attempt_at`: from when on a runner may claim it; null once it has ended or is parked.
    A saga belongs to `runner` while that one's heart beats. `asked_at`: since when the call that
    is due is out as a message; no runner holds it then, and `next_attempt_at` is its patience.

    Only `next_attempt_at` and `parked_at` are indexed of what changes, and a smooth saga touches
    the first once, at its end: its transitions stay heap-only updates.
    """

    saga_id = models.CharField(max_length=64, primary_key=True, db_collation="C")
    name = models.CharField(max_length=64)
    pattern = models.CharField(max_length=24)
    # No constraint on the hot path: the row is written by the same code just before (operations).
    definition = models.ForeignKey(
        Definition,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="sagas",
    )
    subject = models.CharField(max_length=64, db_collation="C")
    context = Json(help_text="The payload, as it was frozen, and the results of its steps.")

    status = models.CharField(max_length=12, choices=_choices(SagaStatus))
    position = models.PositiveSmallIntegerField(default=1, db_default=1)
    current_step = models.CharField(max_length=64, blank=True, default="", db_default="")
    direction = models.CharField(max_length=5, choices=_choices(Direction), db_default="do")
    faults = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Of the call that is due now, so far."
    )
    reached = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="The position of the last step that may have been called by now, where a process"
        " that has died may have gone further than what is written.",
    )
    version = models.PositiveIntegerField(default=0, db_default=0)
    runner_id = models.BigIntegerField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_default=Now())
    asked_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField()

    stop_requested_at = models.DateTimeField(null=True, blank=True)
    failure_step = models.CharField(max_length=64, blank=True, default="", db_default="")
    failure_code = models.CharField(max_length=64, blank=True, default="", db_default="")
    failure_detail = models.TextField(blank=True, default="", db_default="")
    failure_undone = models.BooleanField(
        default=False, db_default=False, help_text="Whether any undo has had an effect."
    )
    waiting_since = models.DateTimeField(null=True, blank=True)
    waiting_until = models.DateTimeField(
        null=True, blank=True, help_text="When the decision that its step waits for is overdue."
    )
    waiting_for = models.CharField(max_length=32, blank=True, default="", db_default="")
    parked_at = models.DateTimeField(null=True, blank=True)
    parked_reason = models.TextField(blank=True, default="", db_default="")

    started_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

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
            # Lists of those that are parked, wait or run: a few among millions that have ended.
            models.Index(
                fields=["-started_at", "-saga_id"],
                condition=Q(finished_at=None),
                name="orchestrated_saga_open",
            ),
            models.Index(fields=["subject"], name="orchestrated_saga_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.saga_id}: {self.status}"


class SagaStep(models.Model):
    """What came of a step: written once there is an answer (or a fault) to tell of."""

    id = models.BigAutoField(primary_key=True)
    # Written in the statement that moves its saga, and only if that moved: the statement is the
    # constraint, and a foreign key's trigger would cost 10 us a row.
    saga = models.ForeignKey(
        Saga, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="steps"
    )
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=64)
    status = models.CharField(max_length=12, choices=_choices(StepStatus))
    do_attempts = models.PositiveIntegerField(default=0, db_default=0)
    undo_attempts = models.PositiveIntegerField(default=0, db_default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="", db_default="")
    response_data = Json(default=dict, db_default={}, blank=True)

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

    def __str__(self) -> str:
        return f"{self.name}: {self.status}"


class InterventionAction(models.TextChoices):
    STOP = "stop"
    RETURN = "return"
    UNDO = "undo"
    RETRY = "retry"
    SKIP = "skip"


class Intervention(models.Model):
    """What a person did to a saga: only ever added."""

    id = models.BigAutoField(primary_key=True)
    saga = models.ForeignKey(Saga, on_delete=models.CASCADE, related_name="interventions")
    action = models.CharField(max_length=6, choices=InterventionAction)
    step = models.CharField(max_length=64)
    requested_by = models.CharField(max_length=150)
    reason = models.TextField(blank=True, default="", db_default="")
    requested_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.action} by {self.requested_by}"


class Runner(models.Model):
    """A process that runs sagas. Silent for too long, its sagas are anybody's."""

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
