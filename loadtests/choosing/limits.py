"""Where an answer goes beyond what was measured."""

from collections.abc import Sequence

from loadtests.choosing.forecasting import Forecast
from loadtests.choosing.situations import Situation
from loadtests.surveying.cells import Stack

LOAD_SLACK, REFUSAL_SLACK = 0.2, 0.01
"""Poisson arrivals are not exactly as many as were asked for."""


def warnings(
    *, stacks: Sequence[Stack], situation: Situation, forecasts: Sequence[Forecast]
) -> list[str]:
    """A sentence each; none where all inputs were measured, and each pattern can take the load."""
    cells = [one for stack in stacks for one in stack.cells if not one.is_full]
    loads = [one.load for one in cells]
    found = [_too_much(situation, one) for one in forecasts if one.use >= 1]
    found += _beyond(
        f"{situation.steps:g} steps", situation.steps, [one.spot.steps for one in stacks]
    )
    found += _beyond(
        f"{situation.hop_ms:g} ms a hop", situation.hop_ms, [one.spot.hop_ms for one in stacks]
    )
    found += _beyond(
        f"{situation.load:g}/s",
        situation.load,
        [min(loads) * (1 - LOAD_SLACK), *loads],
        beside=", beside full load",
    )
    found += _beyond(
        f"{situation.refusals:.0%} declined",
        situation.refusals * 100,
        [100 * (one.refusals + REFUSAL_SLACK) for one in cells] + [0.0],
    )
    return found


def _too_much(situation: Situation, one: Forecast) -> str:
    if one.is_at_least:
        return (
            f"{situation.load:g}/s is more than {one.pattern} is known to take: at least"
            f" {one.capacity:.0f}/s; it was not saturated, so it may take that or not"
        )
    return f"{situation.load:g}/s is more than {one.pattern} can take: about {one.capacity:.0f}/s"


def _beyond(said: str, value: float, measured: Sequence[float], *, beside: str = "") -> list[str]:
    low, high = min(measured), max(measured)
    if low <= value <= high:
        return []
    return [f"{said}: extrapolated, {low:.0f} to {high:.0f} were measured{beside}"]
