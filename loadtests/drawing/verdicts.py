"""What a run decides, in words: the headline, a sentence for each decision, and warnings.

Page and terminal use the same words. Each decision has one interval: of the better pattern's lead,
as a share of the other's figure.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from loadtests.drawing import words
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import Figures
from loadtests.evaluating.verdicts import SMALLEST_OF_INTEREST, Conclusion, FigureVerdict
from loadtests.load.windows import WindowPhase


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of the reader, and the figure that answers it.

    `key`: the beginning of the verdict's figure. `ahead`: the headline's words for the pattern
    that is better; `verb`: those of a decision. `subject`: the question as a noun.
    """

    asks: str
    explains: str
    phase: WindowPhase
    key: str
    value: Callable[[Figures], float | None]
    unit: str
    ahead: str
    verb: str
    subject: str


QUESTIONS = (
    Question(
        asks="How long does a shopper wait?",
        explains="half of all checkouts finish within this, at light load",
        phase=WindowPhase.LIGHT,
        key="p50",
        value=lambda figures: figures.outcome.p50 if figures.outcome else None,
        unit="ms",
        ahead="finishes sooner",
        verb="takes {} less time than",
        subject="the usual wait",
    ),
    Question(
        asks="How long do the unlucky wait?",
        explains="1 in 100 checkouts takes longer than this, at light load",
        phase=WindowPhase.LIGHT,
        key="p99",
        value=lambda figures: figures.outcome.p99 if figures.outcome else None,
        unit="ms",
        ahead="has the shorter long waits",
        verb="takes {} less time than",
        subject="the wait of the unlucky",
    ),
    Question(
        asks="How much can it take?",
        explains="checkouts completed per second, under overload",
        phase=WindowPhase.FULL,
        key="completed/s",
        value=lambda figures: median(figures.capacities or figures.completed_per_second or [0.0]),
        unit="/s",
        ahead="takes more load",
        verb="completes {} more than",
        subject="the load it takes",
    ),
    Question(
        asks="What does a checkout cost?",
        explains="CPU time of the whole shop per checkout, at full load",
        phase=WindowPhase.FULL,
        key="CPU",
        value=lambda figures: figures.cost.shop_cpu_ms,
        unit="ms",
        ahead="costs less",
        verb="uses {} less CPU than",
        subject="the cost",
    ),
)
AS_TIMES = 2.0
"""A lead of at least this is written as a multiple ("31 times as many"), as 3000 % more is hard to
read. It occurs with completed/s only: nothing takes 200 % less."""


def headline(*, run: Comparison) -> str:
    """One sentence: which pattern is better at what, and what is not decided."""
    if not run.audit.is_clean:
        return "No result: the audit found a breach"
    if run.is_void:
        return "Not a valid run: measure again on a quiet machine"
    patterns = [pattern for pattern in run.patterns if pattern != words.FLOOR]
    if len(run.patterns) < 2:
        return f"What the {words.listed(patterns)} checkout takes and costs"
    answers = {question: of_question(run=run, question=question) for question in QUESTIONS}
    ahead: dict[str, list[str]] = {}
    for question, found in answers.items():
        if winner := best(found):
            ahead.setdefault(winner, []).append(question.ahead)
    if not ahead:
        return _without_a_winner(list(answers.values()))
    sentences = [
        f"{words.name_of(pattern)} {words.listed(what)}" for pattern, what in ahead.items()
    ]
    is_open = [
        question.subject
        for question, found in answers.items()
        if len(found) == 1 and found[0].decision == Conclusion.UNDECIDED
    ]
    verb = "is" if len(is_open) == 1 else "are"
    left = f"; {words.listed(is_open)} {verb} not decided" if is_open else ""
    return words.begun(", ".join(sentences)) + left


def _without_a_winner(answers: Sequence[Sequence[FigureVerdict]]) -> str:
    decided = [verdict for found in answers for verdict in found]
    if decided and all(verdict.decision == Conclusion.SAME for verdict in decided):
        return f"The patterns differ by less than {words.share(SMALLEST_OF_INTEREST)} in everything"
    behind = Counter(loser for found in answers if (loser := worst(found)))
    if not behind:
        return "This run decides none of the questions below"
    sentences = [
        f"{words.name_of(pattern)} is behind all others in {count} of the {len(QUESTIONS)}"
        for pattern, count in behind.items()
    ]
    return f"No pattern is ahead of all others in the questions below; {words.listed(sentences)}"


def of_question(*, run: Comparison, question: Question) -> list[FigureVerdict]:
    """The decisions on it, without those against the monolith, which is no choice."""
    return [
        verdict
        for verdict in run.verdicts
        if verdict.figure.startswith(question.key)
        and words.FLOOR not in (verdict.first, verdict.second)
    ]


def warnings(*, run: Comparison) -> list[str]:
    """Each a sentence."""
    stopped = "the run was stopped before its end: the figures are of the windows until then."
    return [stopped, *run.caveats] if run.was_stopped else list(run.caveats)


def sentence(verdict: FigureVerdict) -> str:
    """Better by how much, too small to matter, or not decided. It begins with a pattern's name."""
    first, second = words.short_name_of(verdict.first), words.short_name_of(verdict.second)
    lead, ratio = verdict.lead, verdict.ratio
    if lead is None or ratio is None:
        return f"{first} and {second}: not decided ({verdict.why or 'run longer'})"
    if verdict.decision == Conclusion.DIFFERS:
        better, worse = words.short_name_of(verdict.better), words.short_name_of(verdict.worse)
        if lead.low >= AS_TIMES:
            often, low, high = (
                words.number(1 + end) for end in (lead.estimate, lead.low, lead.high)
            )
            return f"{better} completes {often} times as many as {worse} [{low} to {high}]"
        much = _verb(verdict.figure).format(words.share(lead.estimate))
        between = f"[{words.share(lead.low)} to {words.share(lead.high)}]"
        return f"{better} {much} {worse} {between}"
    between = f"[{words.signed(ratio.low - 1)} to {words.signed(ratio.high - 1)}]"
    if verdict.decision == Conclusion.SAME:
        most = words.share(SMALLEST_OF_INTEREST)
        return f"{second} and {first} differ by less than {most} {between}"
    return f"{second} against {first} {between}: not decided"


def _verb(figure: str) -> str:
    """The verb of the figure's question; p95 belongs to none, and has the verb of p50."""
    verbs = (question.verb for question in QUESTIONS if figure.startswith(question.key))
    return next(verbs, QUESTIONS[0].verb)


def best(found: Sequence[FigureVerdict]) -> str:
    """The pattern that is better than every other by a decision; empty where none is."""
    return _in_all(found, [verdict.better for verdict in found])


def worst(found: Sequence[FigureVerdict]) -> str:
    """The pattern, of three or more, that every other is better than; empty where none is."""
    losses = [verdict.worse for verdict in found if verdict.better]
    return _in_all(found, losses) if len(found) > 1 else ""


def _in_all(found: Sequence[FigureVerdict], named: Sequence[str]) -> str:
    """The pattern that is `named` once against every other; empty where none is."""
    patterns = sorted({name for verdict in found for name in (verdict.first, verdict.second)})
    return next((name for name in patterns if named.count(name) == len(patterns) - 1), "")
