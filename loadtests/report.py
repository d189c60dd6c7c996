"""How a comparison is shown: one screen of a terminal, Markdown, JSON, and the raw samples."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import msgspec

from loadtests import samples
from loadtests.comparison import Comparison
from loadtests.results import Measured
from loadtests.sections import Section, sections
from loadtests.verdicts import Verdict

WIDTH = 92
LABEL = 36
METHOD = "docs/benchmarks.md"


def write(*, folder: Path, comparison: Comparison, measured: Sequence[Measured]) -> Path:
    """Writes report.md, report.json and samples.csv; returns the first."""
    every = [sample for one in measured for sample in one.samples]
    samples.write(path=folder / "samples.csv", samples=every)
    (folder / "report.json").write_bytes(as_json(comparison=comparison))
    path = folder / "report.md"
    path.write_text(as_markdown(comparison=comparison))
    return path


def as_json(*, comparison: Comparison) -> bytes:
    """Every figure of the comparison; an infinite time is null."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"


def as_screen(*, comparison: Comparison) -> str:
    """The whole result on one screen."""
    patterns = comparison.settings.patterns
    width = (WIDTH - LABEL) // max(len(patterns), 1)
    lines = [
        "THE SAME CHECKOUT, SIDE BY SIDE".ljust(LABEL)
        + "".join(one.rjust(width) for one in patterns)
    ]
    for section in sections(comparison=comparison):
        lines += ["", section.title]
        lines += [
            f"  {row.label}".ljust(LABEL) + "".join(cell.rjust(width) for cell in row.cells)
            for row in section.rows
        ]
    lines += ["", "WHAT THIS RUN DECIDES"]
    lines += [_wrapped(f"{one.figure}: {sentence(one)}") for one in comparison.verdicts]
    lines += ["", "MADE ON"]
    lines += [_wrapped(f"{name}: {fact}") for name, fact in comparison.environment.items()]
    lines += [_wrapped(text) for text in _closing(comparison)]
    return "\n".join(lines)


def as_markdown(*, comparison: Comparison) -> str:
    """The same as a document."""
    parts = [
        "# The same checkout, side by side",
        f"Made {comparison.made_at} in {comparison.seconds_taken:.0f} s,"
        f" seed {comparison.settings.seed}. How it is measured: `{METHOD}`."
        " Raw samples: `samples.csv`, one line a checkout. All figures: `report.json`.",
    ]
    parts += [_table(one, comparison.settings.patterns) for one in sections(comparison=comparison)]
    parts += ["## What this run decides"]
    parts += ["\n".join(f"- {one.figure}: {sentence(one)}" for one in comparison.verdicts)]
    parts += ["## Made on"]
    parts += ["\n".join(f"- {name}: {fact}" for name, fact in comparison.environment.items())]
    parts += ["## Validity", "\n".join(f"- {text}" for text in _closing(comparison))]
    return "\n\n".join(part for part in parts if part) + "\n"


def sentence(verdict: Verdict) -> str:
    """A verdict in words."""
    if not verdict.lower:
        return f"not decided ({verdict.why})."
    return f"{verdict.lower} is lower by {verdict.by:.1f} ({verdict.share:.0%}), {verdict.why}."


def _closing(comparison: Comparison) -> list[str]:
    audit = "clean" if comparison.audit.is_clean else f"BREACHED: {comparison.audit.said}"
    return [f"audit: {audit}", *(f"beware: {one}" for one in comparison.doubts)]


def _table(section: Section, patterns: Sequence[str]) -> str:
    lines = [
        f"## {section.title}\n",
        f"| | {' | '.join(patterns)} |",
        "|---|" + "---:|" * len(patterns),
    ]
    lines += [f"| {row.label.strip()} | {' | '.join(row.cells)} |" for row in section.rows]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
