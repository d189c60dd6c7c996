"""The first screen: what this run decides, in words for whoever has to choose."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from statistics import median

from loadtests.drawing import html, verdicts, words
from loadtests.drawing.stored import Figures, Run, Verdict
from loadtests.load.windows import Phase

VOID = "INVALID"
"""How a doubt begins that voids figures (loadtests.evaluating.caveats)."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What somebody wants to know, the figure that tells it, and how its answer is said.

    `key`: how the verdict's figure begins.
    """

    asks: str
    explains: str
    phase: Phase
    key: str
    value: Callable[[Figures], float | None]
    unit: str
    better: str
    is_more_better: bool = False


QUESTIONS = (
    Question(
        asks="How long does a shopper wait?",
        explains="half of all checkouts finish within this, at light load",
        phase=Phase.LIGHT,
        key="p50",
        value=lambda one: one.outcome.p50 if one.outcome else None,
        unit="ms",
        better="quicker",
    ),
    Question(
        asks="How long do the unlucky wait?",
        explains="1 in 100 checkouts takes longer than this, at light load",
        phase=Phase.LIGHT,
        key="p99",
        value=lambda one: one.outcome.p99 if one.outcome else None,
        unit="ms",
        better="steadier",
    ),
    Question(
        asks="How much can it take?",
        explains="checkouts completed a second, under overload",
        phase=Phase.FULL,
        key="completed/s",
        value=lambda one: median(one.capacities or one.completed_per_second or [0.0]),
        unit="/s",
        better="able to take more load",
        is_more_better=True,
    ),
    Question(
        asks="What does a checkout cost?",
        explains="CPU time of the whole shop for a checkout, at full load",
        phase=Phase.FULL,
        key="CPU",
        value=lambda one: one.cost.shop_cpu_ms,
        unit="ms",
        better="cheaper to run",
    ),
)


def header(*, run: Run) -> str:
    """Headline, what is wrong with the run, and the answers as tiles."""
    return "".join(
        [
            "<header>",
            html.paragraph(
                f"The same checkout, {words.listed([words.name_of(p) for p in run.patterns])}."
                f" Measured {run.made_at[:16].replace('T', ' ')} UTC in {run.seconds_taken:.0f} s.",
                kind="eyebrow",
            ),
            f"<h1>{escape(headline(run=run))}</h1>",
            _badges(run),
            html.paragraph(
                "For this load, on this machine: a shop that runs the same saga over the same"
                " business code, coordinated in each of these ways.",
                kind="lead",
            ),
            '<div class="tiles">',
            *[_tile(run, question) for question in QUESTIONS],
            "</div></header>\n",
        ]
    )


def headline(*, run: Run) -> str:
    """One sentence: who is better at what, and what is open."""
    if not run.audit.is_clean:
        return "No result: the audit found that the shop was wrong"
    if any(doubt.startswith(VOID) for doubt in run.doubts):
        return "Not a valid run: measure again on a quiet machine"
    won: dict[str, list[str]] = {}
    for question in QUESTIONS:
        winner = verdicts.best(_between_patterns(run, question))
        if winner:
            won.setdefault(winner, []).append(question.better)
    said = [
        f"{words.sentence_name_of(one)} is {words.listed(better)}" for one, better in won.items()
    ]
    if len(run.patterns) < 2:
        return f"What the {words.listed(run.patterns)} checkout takes and costs"
    return "; ".join(said) or _nobody_ahead(run)


def _nobody_ahead(run: Run) -> str:
    """Where no pattern is better than all others at anything."""
    behind = Counter(
        loser
        for question in QUESTIONS
        if (loser := verdicts.worst(_between_patterns(run, question)))
    )
    if not behind:
        return "This run decides none of the four questions below"
    said = [
        f"{words.name_of(one)} is behind all others in {count} of the {len(QUESTIONS)}"
        for one, count in behind.items()
    ]
    return f"Nobody is ahead of all others in the questions below; {words.listed(said)}"


def _tile(run: Run, question: Question) -> str:
    found = {one.pattern: question.value(one) for one in run.of(question.phase)}
    highest = max([one for one in found.values() if one is not None], default=0.0) or 1.0
    said = verdicts.sentence if len(found) < 3 else _of_a_pair
    sentences = dict.fromkeys(
        words.begun(said(pattern)) for pattern in _between_patterns(run, question)
    )
    decided = "".join(html.paragraph(one) for one in sentences)
    return (
        f'<div class="tile"><h3>{escape(question.asks)}</h3>'
        f'<div class="soft">{escape(question.explains)}</div>'
        + _bars(found, highest, question.unit)
        + decided
        + "</div>"
    )


def _of_a_pair(one: Verdict) -> str:
    """With the pair's names where the decision has none."""
    if one.better:
        return verdicts.short(one)
    names = f"{words.short_name_of(one.first)} and {words.short_name_of(one.second)}"
    return f"{names}: {verdicts.short(one)}"


def _between_patterns(run: Run, question: Question) -> list[Verdict]:
    """The decisions on this question; the floor is no choice, so not those against it."""
    return [
        verdict
        for verdict in run.verdicts
        if verdict.figure.startswith(question.key)
        and words.FLOOR not in (verdict.first, verdict.second)
    ]


def _bars(found: Mapping[str, float | None], highest: float, unit: str) -> str:
    return "".join(
        f'<div class="bar {words.colour_of(pattern)}"><span>{escape(words.short_name_of(pattern))}'
        f'</span><i style="width:{(value or 0.0) / highest * 100:.1f}%"></i>'
        f"<b>{escape(_with_unit(value, unit))}</b></div>"
        for pattern, value in found.items()
    )


def _with_unit(value: float | None, unit: str) -> str:
    return "never" if value is None else f"{words.number(value)} {unit}"


def _badges(run: Run) -> str:
    audit = ("good", "Audit clean") if run.audit.is_clean else ("bad", "Audit: breached")
    doubts = [doubt if len(doubt) < 90 else doubt[:88] + "…" for doubt in run.doubts]
    badges = [audit, *(("bad", f"Beware: {doubt}") for doubt in doubts)]
    return "".join(f'<span class="badge {kind}">{escape(said)}</span>' for kind, said in badges)
