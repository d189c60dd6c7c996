"""The chapter on failures: how checkouts ended that could not all be sold, and how soon."""

from collections.abc import Sequence

from loadtests.drawing import bars, html, timing, words
from loadtests.drawing.bars import Part, Stack
from loadtests.drawing.stored import FAILURES, Counts, Figures, Run
from loadtests.measuring import samples as raw
from loadtests.measuring.samples import Sample

ENDS = (
    ("completed", "completed", "p2"),
    ("compensated", "undone", "p1"),
    ("refused", "refused", "p3"),
    ("unfinished", "unfinished", "p6"),
    ("not_accepted", "not accepted", "p5"),
)
"""Of `Counts`: the field, how it is called, its colour."""


def failures(*, run: Run, samples: Sequence[Sample]) -> str:
    """The mix of outcomes, and how long the undoing took."""
    figures = run.of(FAILURES)
    if not figures:
        return ""
    settings = run.settings
    undone = _times(run, samples, raw.COMPENSATED)
    refused = _times(run, samples, raw.FAILED)
    return html.section(
        html.paragraph(
            f"{words.share(settings.declined)} of the cards are declined after the goods were"
            f" reserved, so that is undone; {words.share(settings.scarce)} of the carts want the"
            " last unit of a product, and all but one are refused before anything has happened."
        ),
        html.key([(label, kind) for _, label, kind in ENDS if _any(figures, label)]),
        html.figure(
            name="ends",
            draw=lambda width, name: bars.stacks(
                every=[_stack(one) for one in figures],
                unit="checkouts",
                width=width,
                name=name,
                title="How checkouts ended",
            ),
            says="The same checkouts were sent in each pattern.",
            table_html=_counts_table(figures),
        ),
        _dots("undone", "Until everything was undone", undone, figures),
        _dots("refused", "Until a refusal with nothing to undo", refused, figures),
        name="failures",
        title="When a checkout fails",
    )


def _dots(name: str, title: str, found: dict[str, list[float]], figures: Sequence[Figures]) -> str:
    if not any(found.values()):
        return ""
    return f"<h3>{title}</h3>" + html.figure(
        name=name,
        draw=lambda width, name: bars.dots(
            found=found, unit="ms from intended start", width=width, name=name, title=title
        ),
        says="Each dot is a checkout; the line is their median.",
        table_html=timing.times_table(
            figures,
            lambda one: one.compensated if name == "undone" else one.refused,
            f"{title}, ms",
        ),
    )


def _times(run: Run, samples: Sequence[Sample], outcome: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {pattern: [] for pattern in run.patterns}
    for one in samples:
        if one.phase == FAILURES and one.outcome == outcome and one.pattern in found:
            found[one.pattern].append(one.latency_ms)
    return found


def _stack(one: Figures) -> Stack:
    return Stack(
        label=words.name_of(one.pattern),
        kind=f"s{words.place_of(one.pattern)}",
        said=f"{one.counts.offered} checkouts",
        parts=[
            Part(label=f"{amount} {label}", short=str(amount), amount=amount, kind=kind)
            for label, amount, kind in _ends(one.counts)
            if amount
        ],
    )


def _any(figures: Sequence[Figures], label: str) -> bool:
    return any(amount for one in figures for name, amount, _ in _ends(one.counts) if name == label)


def _ends(counts: Counts) -> list[tuple[str, int, str]]:
    return [(label, getattr(counts, field), kind) for field, label, kind in ENDS]


def _counts_table(figures: Sequence[Figures]) -> str:
    return html.table(
        heads=["", *[words.name_of(one.pattern) for one in figures]],
        rows=[
            ["offered", *[str(one.counts.offered) for one in figures]],
            *[
                [label, *[str(getattr(one.counts, field)) for one in figures]]
                for field, label, _ in ENDS
            ],
        ],
        caption="Checkouts",
    )
