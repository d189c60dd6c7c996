"""The words for where a saga and its steps stand, the same in both patterns."""

from enum import StrEnum


class SagaStatus(StrEnum):
    """`failed`: refused before any step took effect. `compensated`: effects were undone."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    FAILED = "failed"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Whether the saga has ended (a parked one waits for a person, and has not)."""
        return self in FINAL


FINAL = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED})


class StepStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    COMPENSATED = "compensated"
    SKIPPED = "skipped"
