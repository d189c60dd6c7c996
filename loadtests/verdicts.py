"""What a short run decides between two patterns, and what it can't.

The rule is plain, because a short run has few windows: a figure differs if every window of one
pattern lies on the same side of every window of the other. If the patterns were the same, chance
alone would do that with probability 2 / C(n + m, n) (Mann and Whitney's test at its most extreme):
with 4 windows each, 1 in 35. Anything less is "not decided", whichever mean is lower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

MOST_CHANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`lower` names the pattern with the lower figure; empty: not decided, and `why` says why."""

    figure: str
    lower: str
    by: float
    share: float
    why: str


def compare(*, figure: str, windows: dict[str, Sequence[float]]) -> Verdict:
    """Compares the windows of two patterns, by pattern.

    `by` is the difference of the medians (absolute), `share` the same as a share of the higher.
    Raises ValueError unless there are two patterns.
    """
    (one, ones), (other, others) = windows.items()
    chance = 2 / comb(len(ones) + len(others), len(ones)) if ones and others else 1.0
    by = abs(median(ones) - median(others)) if ones and others else 0.0
    share = by / max(median(ones), median(others)) if by else 0.0
    if chance > MOST_CHANCE:
        why = f"too few windows ({len(ones)} and {len(others)}) to tell a difference from chance"
        return Verdict(figure=figure, lower="", by=by, share=share, why=why)
    if max(ones) < min(others) or max(others) < min(ones):
        lower = one if max(ones) < min(others) else other
        why = f"in every window; by chance alone once in {round(1 / chance)} runs"
        return Verdict(figure=figure, lower=lower, by=by, share=share, why=why)
    return Verdict(
        figure=figure, lower="", by=by, share=share, why="the windows of both overlap: run longer"
    )
