"""A run held to conditions: for a terminal, for what reads JUnit's XML, and as Markdown for a pull
request. Each says the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from math import isinf
from xml.etree import ElementTree  # it writes, and parses nothing  # nosec B405

from loadtests.drawing import differences, verdicts, words
from loadtests.drawing.screen import wrapped
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.conditions import Judgement, Standing
from loadtests.evaluating.quantities import COUNTED, QUANTITIES, Measurement

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for."""
_OF_MARKDOWN = re.compile(r"([\\`*_|\[\]<>#])")


def headline(every: Sequence[Judgement]) -> str:
    """How many failed, or were not decided; that all hold only where they do."""
    counts = Counter(judgement.standing for judgement in every)
    told = {"failed": counts[Standing.FAILS], "not decided": counts[Standing.UNDECIDED]}
    total = f"{len(every)} condition{'s' * (len(every) != 1)}"
    parts = [f"{count} of {total} {what}" for what, count in told.items() if count]
    return ", ".join(parts) or f"every condition holds ({len(every)})"


def sentence(judgement: Judgement) -> str:
    """How a condition came out, with what was measured."""
    if judgement.standing is Standing.UNDECIDED:
        return f"{judgement.standing}: {judgement.why}"
    if judgement.reaches is None:
        return f"{judgement.standing}: {_seen(judgement)}"
    but = "but" if judgement.standing is Standing.HOLDS else "though"
    reached = _amount(judgement, judgement.reaches)
    return f"{judgement.standing}, {but} its interval reaches {reached}: {_seen(judgement)}"


def _seen(judgement: Judgement) -> str:
    if isinf(judgement.seen):
        return words.NEVER
    # What is counted has none, and needs none.
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
    """With more digits where it would look like the limit."""
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


def lines(*, every: Sequence[Judgement], beware: Sequence[str]) -> str:
    """For a terminal."""
    told = [f"beware: {warning}" for warning in beware]
    told += [f"{judgement.condition}: {sentence(judgement)}" for judgement in every]
    return "\n".join([f"CONDITIONS: {headline(every)}", *map(wrapped, told)]).translate(words.PLAIN)


def warnings(*, run: Comparison, against: Comparison | None) -> list[str]:
    """What to beware of beside the run's own warnings: that the two were not made alike."""
    unlike = differences.unlike(before=against, after=run) if against else []
    if not unlike:
        return []
    names = words.listed([name for name, _, _ in unlike])
    return [f"the run that it is held against is unlike this one in: {names}."]


def junit(*, every: Sequence[Judgement], run: Comparison) -> bytes:
    """A test case a condition: what fails is a failure, what is not decided an error."""
    counts = Counter(judgement.standing for judgement in every)
    told = {
        "name": "compare",
        "tests": str(len(every)),
        "failures": str(counts[Standing.FAILS]),
        "errors": str(counts[Standing.UNDECIDED]),
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
        kind = {Standing.FAILS: "failure", Standing.UNDECIDED: "error"}.get(judgement.standing)
        if kind:
            below = ElementTree.SubElement(
                case, kind, {"message": text, "type": judgement.standing}
            )
            below.text = _legal("\n".join([f"{judgement.condition}: {text}", *_circumstances(run)]))
        else:
            ElementTree.SubElement(case, "system-out").text = text
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _circumstances(run: Comparison) -> list[str]:
    audit = [] if run.audit.is_clean else [f"audit: {run.audit.output}"]
    beware = [f"beware: {warning}" for warning in verdicts.warnings(run=run)]
    return [*audit, *beware, f"again: {run.settings.as_command}"]


def _legal(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def markdown(*, every: Sequence[Judgement], run: Comparison, beware: Sequence[str]) -> str:
    """The verdict, what to beware of, the conditions if there are any, and every figure."""
    told = [] if run.audit.is_clean else [f"The audit found a breach: {run.audit.output}"]
    told += [*verdicts.warnings(run=run), *beware]
    mark = {Standing.FAILS: "**fails**", Standing.UNDECIDED: "**not decided**"}
    saga = run.settings.saga
    title = words.begun(headline(every)) if every else words.begun(f"the same {saga}, measured")
    patterns = [words.name_of(pattern) for pattern in run.patterns]
    parts = [
        f"## {title}",
        _plain(f"{verdicts.headline(run=run)}."),
        *["\n".join(f"- Beware: {_plain(warning)}" for warning in told)] * bool(told),
        *[
            _table(
                ("condition", "", "measured"),
                [
                    [
                        f"`{judgement.condition}`",
                        mark.get(judgement.standing, "holds"),
                        _plain(_short(judgement)),
                    ]
                    for judgement in every
                ],
            )
        ]
        * bool(every),
        _table(("figure", *patterns), _figures(run)),
        "In brackets: 95 % intervals, from the windows of this run alone.",
        f"Measured {run.made_at} on {_plain(run.environment.get('machine', '?'))};"
        f" again: `{run.settings.as_command}`",
    ]
    return words.of_saga("\n\n".join(parts) + "\n", saga=saga)


def _short(judgement: Judgement) -> str:
    """The sentence without its first words, which stand beside it."""
    return sentence(judgement).removeprefix(judgement.standing).lstrip(":, ")


def _figures(run: Comparison) -> list[list[str]]:
    """A row for each that the run has measured."""
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
    """With no sign that Markdown would read as one of its own, on one line."""
    return _OF_MARKDOWN.sub(r"\\\1", " ".join(text.split()))
