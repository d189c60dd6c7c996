"""The outage at the end of a full run: a participant goes away, on the stack of its windows."""

from contracts.catalogue import SAGAS
from contracts.projection import services_of
from loadtests.comparing import plan
from loadtests.load import shopper
from loadtests.outages import experiment

PARTICIPANT = "pagos"
"""Of those sagas that have it; of another, the first beside its owner."""
AWAY_SECONDS = 15.0
"""Long enough for the breaker to open, and to ask several times in vain."""
DRAIN_SECONDS = 8.0
"""By the plan; the experiment itself waits longer."""


def settings_of(*, settings: plan.Settings) -> experiment.Settings | None:
    """The outage that belongs to a run; None for one without.

    An arm goes through it as its pattern does; the monolith has nobody who could be away.
    """
    patterns = list(dict.fromkeys(shopper.pattern_of(arm=arm) for arm in settings.patterns))
    patterns = [one for one in patterns if one != shopper.MONOLITH]
    if not settings.is_full or not patterns:
        return None
    services = services_of(SAGAS[settings.saga])
    return experiment.Settings(
        patterns=patterns,
        participant=PARTICIPANT if PARTICIPANT in services else services[1],
        seconds=AWAY_SECONDS * settings.seconds / plan.USUAL_SECONDS,
        rate=settings.rate,
        seed=settings.seed,
        saga=settings.saga,
    )


def seconds_of(*, settings: plan.Settings) -> float:
    """How long it takes by its plan."""
    planned = settings_of(settings=settings)
    if planned is None:
        return 0.0
    return len(planned.patterns) * (planned.load_seconds + DRAIN_SECONDS)
