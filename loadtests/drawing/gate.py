"""How a run meets its conditions: as text for a terminal, as JUnit XML, and as Markdown for a pull
request.
"""

import re
from collections import Counter
from collections.abc import Sequence
from math import isinf
from xml.etree import ElementTree  # it writes, and parses nothing  # nosec B405

from loadtests.drawing import differences, verdicts, words
from loadtests.drawing.screen import wrapped
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.conditions import ConditionState, Judgement
from loadtests.evaluating.quantities import COUNTED, QUANTITIES, Measurement

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow."""
_OF_MARKDOWN = re.compile(r"([\\`*_|\[\]<>#])")


def headline(every: Sequence[Judgement]) -> str:
    """How many conditions failed or are not decided, or that every one holds."""
    counts = Counter(judgement.standing for judgement in every)
    told = {"failed": counts[ConditionState.FAILS], "not decided": counts[ConditionState.UNDECIDED]}
    total = f"{len(every)} condition{'s' * (len(every) != 1)}"
    parts = [f"{count} of {total} {what}" for what, count in told.items() if count]
    return ", ".join(parts) or f"every condition holds ({len(every)})"


def sentence(judgement: Judgement) -> str:
    """The verdict on a condition, with the measured value."""
    if judgement.standing is ConditionState.UNDECIDED:
        return f"{judgement.standing}: {judgement.why}"
    if judgement.reaches is None:
        return f"{judgement.standing}: {_seen(judgement)}"
    but = "but" if judgement.standing is ConditionState.HOLDS else "though"
    reached = _amount(judgement, judgement.reaches)
    return f"{judgement.standing}, {but} its interval reaches {reached}: {_seen(judgement)}"


def _seen(judgement: Judgement) -> str:
    if isinf(judgement.seen):
        return words.NEVER
    # Counts have no interval, and need none.
    interval = "" if judgement.condition.figure in COUNTED else " (no interval)"
    if judgement.interval:
        interval = f" [{_between(judgement.interval.low, judgement.interval.high)}]"
    if judgement.base is None:
        return f"{_amount(judgement, judgement.seen)}{interval}"
    unit = judgement.condition.quantity.unit
    whose = judgement.condition.other or "the stored run"
    base = f"{words.with_unit(judgement.base, unit)} of {whose}"
    found = words.with_unit(judgement.measured, unit)
    return f"{found}, {_amount(judgement, judgement.seen)} the {base}{interval}"


def _amount(judgement: Judgement, value: float) -> str:
    """With more digits where the value would be shown like the limit."""
    limit = judgement.condition.limit
    is_told = value == limit or words.number(value) != words.number(limit)
    text = "" if is_told else f"{value:.6g}"
    if judgement.condition.is_relative:
        return f"{text or words.number(value)} times"
    return words.with_unit(value, judgement.condition.quantity.unit, shown=text)


def _between(low: float, high: float) -> str:
    if isinf(high):
        return f"{words.number(low)} or more"
    return f"{words.number(low)} to {words.number(high)}"


def lines(*, every: Sequence[Judgement], warnings: Sequence[str]) -> str:
    """For a terminal."""
    told = [f"warning: {warning}" for warning in warnings]
    told += [f"{judgement.condition}: {sentence(judgement)}" for judgement in every]
    return "\n".join([f"CONDITIONS: {headline(every)}", *map(wrapped, told)]).translate(words.PLAIN)


def warnings_of_baseline(*, run: Comparison, against: Comparison | None) -> list[str]:
    """That the two runs were not made under the same conditions, if so."""
    unlike = differences.unlike(before=against, after=run) if against else []
    if not unlike:
        return []
    names = words.listed([name for name, _, _ in unlike])
    return [f"the stored run that it is compared with differs in: {names}."]


def junit(*, every: Sequence[Judgement], run: Comparison) -> bytes:
    """A test case per condition: a failure if it fails, an error if it is not decided."""
    counts = Counter(judgement.standing for judgement in every)
    told = {
        "name": "compare",
        "tests": str(len(every)),
        "failures": str(counts[ConditionState.FAILS]),
        "errors": str(counts[ConditionState.UNDECIDED]),
    }
    root = ElementTree.Element("testsuites", told)
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {**told, "timestamp": run.made_at, "time": f"{run.seconds_taken:.3f}", "skipped": "0"},
    )
    for judgement in every:
        named = {
            "classname": f"compare.{judgement.condition.pattern}",
            "name": str(judgement.condition),
        }
        case = ElementTree.SubElement(suite, "testcase", {**named, "time": "0"})
        text = sentence(judgement)
        kind = {ConditionState.FAILS: "failure", ConditionState.UNDECIDED: "error"}.get(
            judgement.standing
        )
        if kind:
            below = ElementTree.SubElement(
                case, kind, {"message": text, "type": judgement.standing}
            )
            about = "\n".join([f"{judgement.condition}: {text}", *_circumstances(run)])
            below.text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", about)
        else:
            ElementTree.SubElement(case, "system-out").text = text
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _circumstances(run: Comparison) -> list[str]:
    audit = [] if run.audit.is_clean else [f"audit: {run.audit.output}"]
    warnings = [f"warning: {warning}" for warning in verdicts.warnings(run=run)]
    return [*audit, *warnings, f"again: {run.settings.as_command}"]


def markdown(*, every: Sequence[Judgement], run: Comparison, warnings: Sequence[str]) -> str:
    """The verdict, warnings, the conditions if there are any, and every figure."""
    told = [] if run.audit.is_clean else [f"The audit found a breach: {run.audit.output}"]
    told += [*verdicts.warnings(run=run), *warnings]
    saga = run.settings.saga
    title = words.begun(headline(every) if every else f"the same {saga}, measured")
    patterns = [words.name_of(pattern) for pattern in run.patterns]
    parts = [f"## {title}", _plain(f"{verdicts.headline(run=run)}.")]
    if told:
        parts.append("\n".join(f"- Warning: {_plain(warning)}" for warning in told))
    if every:
        parts.append(_table(("condition", "", "measured"), list(map(_condition, every))))
    parts += [
        _table(("figure", *patterns), _figures(run)),
        "In brackets: 95 % intervals, from the windows of this run alone.",
        f"Measured {run.made_at} on {_plain(run.environment.get('machine', '?'))};"
        f" again: `{run.settings.as_command}`",
    ]
    return words.of_saga("\n\n".join(parts) + "\n", saga=saga)


def _condition(judgement: Judgement) -> list[str]:
    standing = judgement.standing
    mark = standing if standing is ConditionState.HOLDS else f"**{standing}**"
    rest = sentence(judgement).removeprefix(standing).lstrip(":, ")
    return [f"`{judgement.condition}`", mark, _plain(rest)]


def _figures(run: Comparison) -> list[list[str]]:
    """A row for each figure that the run has measured."""
    rows = []
    for name, quantity in QUANTITIES.items():
        found = [quantity.read(run, pattern) for pattern in run.patterns]
        if any(found):
            cells = [_cell(measured, quantity.unit) for measured in found]
            rows.append([f"`{name}`: {_plain(quantity.about)}", *cells])
    return rows


def _cell(found: Measurement | None, unit: str) -> str:
    if found is None:
        return "-"
    least = "more than " * found.is_least
    interval = f" ({_between(found.interval.low, found.interval.high)})" if found.interval else ""
    return f"{least}{words.with_unit(found.value, unit)}{interval}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in every)


def _plain(text: str) -> str:
    """On one line, with Markdown's own characters escaped."""
    return _OF_MARKDOWN.sub(r"\\\1", " ".join(text.split()))
