"""The patterns, a row each: how a saga is coordinated, and by whom."""

import os

import msgspec


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """`coordinator`: who has the saga's state, shown at `state`. `hand_over`: where its owner
    hands it over to that one. `starts_itself`: the owner's first event sets it going, and the
    hand-over, some seconds later, is only the net for one whose events were lost on the way.
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
"""Where it is 1, for every process, there are the pattern `temporal` and its coordinator."""
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
"""The same rows, on an engine that exists already."""
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
"""Those that ask participants for steps."""
STARTING_THEMSELVES = [pattern.name for pattern in PATTERNS.values() if pattern.starts_itself]


def of_coordinator(service: str) -> tuple[str, ...]:
    """The names of the patterns that a service coordinates, its usual one first."""
    return tuple(pattern.name for pattern in PATTERNS.values() if pattern.coordinator == service)
