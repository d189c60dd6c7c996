"""The abstract tables of an orchestrator, which each orchestrating service makes concrete: its
sagas, the definitions with which they started, and the results of their steps.
"""

from django.db import models
from django.db.models.functions import Now

from contracts.saga import Direction
from contracts.states import SagaStatus, StepStatus
from participant.models import CHANGED_ONLY, KEPT, READ_AND_WRITE, Json


def _choices(words: type[SagaStatus | StepStatus | Direction]) -> list[tuple[str, str]]:
    return [(word.value, word.value) for word in words]


class Definition(models.Model):
    """The steps of a saga as they were when sagas started with them: a deploy does not change a
    saga in flight. One row per version, shared by its sagas (which saves 1 KB per saga).
    """

    for_admin = granted = KEPT

    digest = models.CharField(max_length=64, primary_key=True, db_collation="C")
    name = models.CharField(max_length=64)
    steps = Json()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} {self.digest[:8]}"


class Saga(models.Model):
    """A saga and its state."""

    for_admin = CHANGED_ONLY

    saga_id = models.CharField(max_length=64, primary_key=True, db_collation="C")
    name = models.CharField(max_length=64)
    pattern = models.CharField(max_length=24)
    # No constraint on the hot path: the row is written by the same code just before (operations).
    definition = models.ForeignKey(
        "Definition",
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="sagas",
    )
    subject = models.CharField(max_length=64, db_collation="C")
    user_id = models.CharField(
        max_length=64, db_collation="C", blank=True, default="", db_default=""
    )
    context = Json(help_text="The payload, as it was frozen, and the results of its steps.")

    status = models.CharField(max_length=12, choices=_choices(SagaStatus))
    position = models.PositiveSmallIntegerField(default=1, db_default=1)
    current_step = models.CharField(max_length=64, blank=True, default="", db_default="")
    direction = models.CharField(max_length=5, choices=_choices(Direction), db_default="do")
    version = models.PositiveIntegerField(default=0, db_default=0)

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
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} {self.saga_id}: {self.status}"


class SagaStep(models.Model):
    """The result of a step: written after its first answer or fault."""

    for_admin = READ_AND_WRITE

    id = models.BigAutoField(primary_key=True)
    # Written by the statement that updates its saga, and only if that row was updated: this
    # replaces the constraint, whose trigger would cost 10 us per row.
    saga = models.ForeignKey(
        "Saga", on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="steps"
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
        abstract = True

    def __str__(self) -> str:
        return f"{self.name}: {self.status}"
