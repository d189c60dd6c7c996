"""The outage at the end of a full run: a participant goes away, on the stack of its windows."""

from loadtests.comparing import plan
from loadtests.load import arms, shopper
from loadtests.outages import experiment

PARTICIPANT = "pagos"
AWAY_SECONDS = 15.0
"""Long enough for the breaker to open, and to ask several times in vain."""
DRAIN_SECONDS = 8.0
"""By the plan; the experiment itself waits longer."""


def settings_of(*, settings: plan.Settings) -> experiment.Settings | None:
    """The outage that belongs to a run; None for one without.

    An arm goes through it as its pattern does; the monolith has nobody who could be away.
    """
    patterns = list(dict.fromkeys(arms.pattern_of(arm=arm) for arm in settings.patterns))
    patterns = [one for one in patterns if one != shopper.MONOLITH]
    if not settings.is_full or not patterns:
        return None
    return experiment.Settings(
        patterns=patterns,
        participant=PARTICIPANT,
        seconds=AWAY_SECONDS * settings.seconds / plan.USUAL_SECONDS,
        rate=settings.rate,
        seed=settings.seed,
    )


def seconds_of(*, settings: plan.Settings) -> float:
    """How long it takes by its plan."""
    planned = settings_of(settings=settings)
    if planned is None:
        return 0.0
    return len(planned.patterns) * (planned.load_seconds + DRAIN_SECONDS)
