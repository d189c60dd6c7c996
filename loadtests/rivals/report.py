"""A run beside the rivals: as a screen of a terminal, and as a page. The verdict comes first."""

from collections.abc import Callable, Sequence

from loadtests.drawing import bars, html, words
from loadtests.drawing.screen import WIDTH, wrapped
from loadtests.evaluating.verdicts import Interval
from loadtests.rivals import ratios
from loadtests.rivals.ratios import KINDS, Result
from stack.folders import MANAGE

LABEL = 28
ALONE, FULL = KINDS[:3], KINDS[3:]
HEADS = {"p50": "p50", "p95": "p95", "CPU one at a time": "CPU", "CPU at full load": "CPU"}
METHOD = (
    "Every arm is sent checkouts by the same load generator, over HTTP, at moments that were fixed"
    " beforehand; time counts from the intended start until the checkout's row is committed to"
    " PostgreSQL as completed.",
    "One at a time: starts are 500 ms apart, so a faster checkout has ended before the next begins."
    " Full load: more than the arm can do.",
    "CPU: of all processes of an arm and of PostgreSQL, without what they use when idle, per"
    " completed checkout.",
    "All arms are up all the time and take turns in short windows, in random order. A ratio is a"
    " pattern's figure over a rival's in the same block; its 95 % interval is by bootstrap over"
    " the blocks.",
    "docs/explanation/benchmarks.md says how each rival is run, and why.",
)


def screen(*, result: Result) -> str:
    """79 columns, without a line break at the end."""
    arms = [*result.patterns, *result.rivals]
    lines = [wrapped(sentence, 0) for sentence in ratios.sentences(result=result)] + [""]
    lines += [wrapped(f"warning: {caveat}", 0) for caveat in result.caveats]
    lines += [
        _line("ONE AT A TIME, ms", [HEADS.get(kind.name, kind.name) for kind in ALONE]),
        *[_line(f"  {words.name_of(arm)}", _figures(result, arm, ALONE)) for arm in arms],
        *_compared(result, ALONE),
        "",
        _line("FULL LOAD", ["completed/s", "CPU ms", "idle ms/s"]),
        *[
            _line(
                f"  {words.name_of(arm)}",
                [*_figures(result, arm, FULL), words.number(result.idle[arm].own)],
            )
            for arm in arms
        ],
        *_compared(result, FULL),
        "",
        "books: everywhere as many sales, charges and orders as completed checkouts",
        f"again: {MANAGE} rivals --seconds {result.settings['seconds']:g}"
        f" --seed {result.settings['seed']}",
    ]
    return "\n".join(lines).translate(words.PLAIN)


def page(*, result: Result) -> str:
    """One self-contained HTML file."""
    arms = [*result.patterns, *result.rivals]
    rows = {
        kind.name: {arm: found for arm in arms if (found := result.figures[arm][kind.name])}
        for kind in KINDS
    }
    made = f"Measured {result.made_at[:16].replace('T', ' ')} UTC"
    header = [
        "<header>",
        html.paragraph(f"{made} in {result.seconds_taken:.0f} s.", kind="eyebrow"),
        "<h1>The same checkout, on what others have built</h1>",
        html.points(ratios.sentences(result=result)),
        html.warnings(result.caveats),
        "</header>\n",
    ]
    measured = html.section(
        "Times and CPU in ms; each figure has its own scale.",
        html.figure(
            lambda width: bars.pairs(rows=rows, width=width),
            name="figures",
            title="Each arm's figures",
            caption="Shorter is better, but for completed/s.",
            table_html=_table(
                arms,
                lambda arm: [words.number(result.figures[arm][kind.name]) for kind in KINDS],
                caption="Percentiles of all checkouts, means over the windows",
            ),
        ),
        name="figures",
        title="Figures",
    )
    compared = [_chapter(result, pattern) for pattern in result.patterns]
    facts = [[name, str(fact)] for name, fact in result.environment.items()]
    facts += [
        [f"{words.name_of(arm)}, idle", f"{words.number(idle.own)} ms of CPU per second"]
        for arm, idle in result.idle.items()
    ]
    made_on = html.table(heads=["", ""], rows=facts, caption="The same for every arm")
    ending = [
        html.section("", made_on, name="environment", title="Environment"),
        html.section("", html.points(METHOD), name="method", title="How it was measured"),
    ]
    return html.document(
        title=f"Dueto beside its rivals: {result.made_at}",
        body_html="".join([*header, measured, *compared, *ending]),
    )


def _chapter(result: Result, pattern: str) -> str:
    return html.section(
        "",
        _table(
            result.rivals,
            lambda rival: _ratios(result, (pattern, rival), KINDS),
            caption="Ratio to each rival's, and its interval",
        ),
        name=pattern,
        title=f"{words.sentence_name_of(pattern)}, to each rival",
    )


def _table(arms: Sequence[str], of: Callable[[str], Sequence[str]], *, caption: str) -> str:
    return html.table(
        heads=["", *[kind.name for kind in KINDS]],
        rows=[[words.name_of(arm), *of(arm)] for arm in arms],
        caption=caption,
    )


def _figures(result: Result, arm: str, kinds: Sequence[ratios.Kind]) -> list[str]:
    return [words.number(result.figures[arm][kind.name]) for kind in kinds]


def _ratios(result: Result, pair: tuple[str, str], kinds: Sequence[ratios.Kind]) -> list[str]:
    found = {
        verdict.figure: verdict
        for verdict in result.ratios
        if (verdict.second, verdict.first) == pair
    }
    return [_ratio(found[kind.name].ratio) for kind in kinds]


def _ratio(found: Interval | None) -> str:
    if found is None:
        return "-"
    low, high = words.number(found.low), words.number(found.high)
    return f"{words.number(found.estimate)} ({low}-{high})"


def _compared(result: Result, kinds: Sequence[ratios.Kind]) -> list[str]:
    lines = []
    for pattern in result.patterns:
        lines.append(f"  {words.name_of(pattern)} to")
        for rival in result.rivals:
            cells = _ratios(result, (pattern, rival), kinds)
            lines.append(_line(f"    {words.name_of(rival)}", cells))
    return lines


def _line(label: str, cells: Sequence[str]) -> str:
    column = (WIDTH - LABEL) // 3
    return label.ljust(LABEL) + "".join(cell.rjust(column) for cell in cells)
