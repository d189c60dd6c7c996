"""A decision in words that need no statistics, with its interval."""

from loadtests.drawing import words
from loadtests.drawing.conclusions import Interval, Verdict
from loadtests.drawing.stored import Run

DIFFERS, SAME = "differs", "same"
OF_INTEREST = 0.05
"""What loadtests.evaluating.verdicts take for the smallest difference that matters."""


def sentence(verdict: Verdict) -> str:
    """One of three: better by so much; no difference of interest; not enough data."""
    if verdict.ratio is None or verdict.difference is None:
        return f"Not enough data to decide: {verdict.why or 'run longer'}."
    if verdict.decision == DIFFERS:
        return _differs(verdict, verdict.ratio, verdict.difference)
    between = f"{words.signed(verdict.ratio.low - 1)} to {words.signed(verdict.ratio.high - 1)}"
    against = f"{words.name_of(verdict.second)} against {words.name_of(verdict.first)}: {between}"
    if verdict.decision == SAME:
        return f"No difference larger than {words.share(OF_INTEREST)} ({against})."
    return f"Not enough data to decide: run longer ({against})."


def short(verdict: Verdict) -> str:
    """The same on about a line."""
    ratio = verdict.ratio
    if ratio is None:
        return f"not enough data ({verdict.why or 'run longer'})"
    if verdict.decision == DIFFERS:
        found = advantage(verdict, ratio)
        word = "less" if verdict.lower_is_better else "more"
        return (
            f"{words.short_name_of(verdict.better)} {words.share(found.estimate)} {word} than"
            f" {words.short_name_of(other_of(verdict))}"
            f" [{words.share(found.low)} to {words.share(found.high)}]"
        )
    between = f"{words.signed(ratio.low - 1)} to {words.signed(ratio.high - 1)}"
    if verdict.decision == SAME:
        return f"no difference larger than {words.share(OF_INTEREST)} ({between})"
    return f"not enough data ({between}): run longer"


def of(run: Run, *, begins: str) -> list[Verdict]:
    """The decisions on the figure whose name begins like this, one a pair of patterns."""
    return [one for one in run.verdicts if one.figure.startswith(begins)]


def best(found: list[Verdict]) -> str:
    """The pattern that is better than every other by a decision; empty where none is."""
    patterns = {name for one in found for name in (one.first, one.second)} - {""}
    wins = [one.better for one in found if one.better]
    return next((one for one in sorted(patterns) if wins.count(one) == len(patterns) - 1), "")


def worst(found: list[Verdict]) -> str:
    """The pattern, of three or more, that every other is better than; empty where none is."""
    patterns = {name for one in found for name in (one.first, one.second)} - {""}
    losses = [other_of(one) for one in found if one.better]
    lost = (one for one in sorted(patterns) if losses.count(one) == len(patterns) - 1)
    return next(lost, "") if len(patterns) > 2 else ""


def other_of(verdict: Verdict) -> str:
    """The one of the two that is not better."""
    return verdict.first if verdict.better == verdict.second else verdict.second


def advantage(verdict: Verdict, ratio: Interval) -> Interval:
    """By how much the better one's figure is lower (or higher, where more is better), as a share
    of the other's."""
    seen = ratio if verdict.better == verdict.second else inverse(ratio)
    sign = -1 if verdict.lower_is_better else 1
    bounds = sorted(sign * (one - 1) for one in (seen.low, seen.high))
    return Interval(estimate=sign * (seen.estimate - 1), low=bounds[0], high=bounds[1])


def inverse(ratio: Interval) -> Interval:
    """The ratio the other way round."""
    return Interval(estimate=1 / ratio.estimate, low=1 / ratio.high, high=1 / ratio.low)


def _differs(verdict: Verdict, ratio: Interval, difference: Interval) -> str:
    share = advantage(verdict, ratio)
    sign = 1 if difference.estimate > 0 else -1
    gaps = sorted(sign * one for one in (difference.low, difference.high))
    word = "less" if verdict.lower_is_better else "more"
    return (
        f"{words.sentence_name_of(verdict.better)}: {words.number(abs(difference.estimate))}"
        f" {verdict.unit} {word} than {words.name_of(other_of(verdict))}"
        f" [{words.number(gaps[0])} to {words.number(gaps[1])}],"
        f" that is {words.share(share.estimate)}"
        f" [{words.share(share.low)} to {words.share(share.high)}]."
    )
