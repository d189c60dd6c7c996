"""The patterns, a row each: how a saga is coordinated, and by which service."""

import os

import msgspec


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """`coordinator`: the service that keeps the saga's state, shown at its path `state`.
    `hand_over`: the coordinator's path where the owner hands a saga over. `starts_itself`: the
    owner's first event starts the saga; the hand-over comes some seconds later, and only catches
    sagas whose events were lost.
    """

    name: str
    coordinator: str
    hand_over: str
    state: str
    starts_itself: bool = False


ORCHESTRATED = "orchestrated"
CHOREOGRAPHED = "choreographed"
ORCHESTRATED_MESSAGING = "orchestrated_messaging"
TEMPORAL = "temporal"
TEMPORAL_VARIABLE = "DUETO_TEMPORAL"
"""If it is 1, in every process, the pattern `temporal` and its coordinator exist."""
HAS_TEMPORAL = os.environ.get(TEMPORAL_VARIABLE, "") == "1"


def _orchestrated(name: str) -> Pattern:
    return Pattern(
        name=name,
        coordinator="saga_orchestrator",
        hand_over="/sagas",
        state="/saga/{saga_id}",
    )


_ON_TEMPORAL = Pattern(
    name=TEMPORAL,
    coordinator="saga_temporal",
    hand_over="/saga/temporal/sagas",
    state="/saga/temporal/{saga_id}",
)
"""The same definitions, on an existing workflow engine."""
PATTERNS = {
    pattern.name: pattern
    for pattern in (
        _orchestrated(ORCHESTRATED),
        Pattern(
            name=CHOREOGRAPHED,
            coordinator="saga_choreography",
            hand_over="/saga/choreography/sagas",
            state="/saga/choreography/{saga_id}",
            starts_itself=True,
        ),
        # The control: the same orchestrator, with messages in place of its calls.
        _orchestrated(ORCHESTRATED_MESSAGING),
        *((_ON_TEMPORAL,) if HAS_TEMPORAL else ()),
    )
}
"""By name."""


COORDINATORS = frozenset(pattern.coordinator for pattern in PATTERNS.values())
CONDUCTORS = frozenset(
    pattern.coordinator for pattern in PATTERNS.values() if not pattern.starts_itself
)
"""The coordinators that ask participants for steps."""
STARTING_THEMSELVES = [pattern.name for pattern in PATTERNS.values() if pattern.starts_itself]


def of_coordinator(service: str) -> tuple[str, ...]:
    """The names of the patterns that a service coordinates, its usual one first."""
    return tuple(pattern.name for pattern in PATTERNS.values() if pattern.coordinator == service)
