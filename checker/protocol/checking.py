"""All the rules on all the protocols, and the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

from checker.protocol import definition, orchestrating, paths, walking, wiring
from checker.protocol.description import Choreography, DescribedSaga, Orchestration, Protocol, Rule
from checker.protocol.journeys import Walked
from checker.protocol.paths import Walk

MOST_SHOWN = 5
"""Breaches shown of one rule; the rest are counted. One wrong row is found on many paths."""


class Violation(NamedTuple):
    """A rule that does not hold: where, how, and the remedy."""

    rule: str
    where: str
    what: str
    mend: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result for one protocol. `unchecked`: rules not checked because of the breaches.

    `counts`: the size of the proof: steps, events, states walked.
    """

    name: str
    proven: Sequence[Rule]
    breaches: Sequence[Violation]
    unchecked: Sequence[Rule]
    counts: Mapping[str, int]

    def as_text(self, *, is_short: bool = False) -> str:
        """`is_short`: rules that hold are shown by their names alone."""
        counts = ", ".join(f"{n} {what}" for what, n in self.counts.items())
        lines = _wrapped(f"{self.name}: {counts}")
        if is_short and self.proven:
            lines += _wrapped("  holds     " + ", ".join(rule.name for rule in self.proven))
        else:
            lines += [f"  holds     {rule.name:12} {rule.promise}" for rule in self.proven]
        lines += list(self._breach_lines())
        if self.unchecked:
            names = ", ".join(rule.name for rule in self.unchecked)
            lines += _wrapped(f"  unchecked until the above holds: {names}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "protocol": self.name,
            "counts": dict(self.counts),
            "proven": [rule.name for rule in self.proven],
            "breaches": [breach._asdict() for breach in self.breaches],
            "unchecked": [rule.name for rule in self.unchecked],
        }

    def _breach_lines(self) -> Iterator[str]:
        for rule in dict.fromkeys(breach.rule for breach in self.breaches):
            found = [breach for breach in self.breaches if breach.rule == rule]
            for violation in found[:MOST_SHOWN]:
                yield f"  BREACHED  {rule:12} {violation.what}"
                yield f"{'':25}where: {violation.where}"
            if len(found) > MOST_SHOWN:
                yield f"{'':25}and {len(found) - MOST_SHOWN} more of this rule"
            yield f"{'':25}to fix: {found[0].mend}."


def _wrapped(line: str) -> list[str]:
    return wrap(line, 79, subsequent_indent=" " * 12)


@dataclass(frozen=True, kw_only=True)
class ProtocolReport:
    """The results for all protocols."""

    checked: Sequence[Checked]

    @property
    def breaches(self) -> list[Violation]:
        return [breach for protocol in self.checked for breach in protocol.breaches]

    @property
    def is_clean(self) -> bool:
        return not self.breaches

    def as_text(self, *, is_short: bool = False) -> str:
        """`is_short`: rules that hold are shown by their names alone."""
        proven = sum(len(protocol.proven) for protocol in self.checked)
        total = f"Everything holds: {proven} rules proven."
        if not self.is_clean:
            total = f"BREACHED: {len(self.breaches)} times; {proven} rules hold."
        return "\n\n".join(
            [*(protocol.as_text(is_short=is_short) for protocol in self.checked), total]
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "is_clean": self.is_clean,
            "protocols": [protocol.as_json() for protocol in self.checked],
        }


def check(*, protocols: Sequence[Protocol]) -> ProtocolReport:
    """All rules on each protocol; protocols of one saga must also equal the first that is walked.

    A group of rules is checked only if the groups before it hold, and a saga only if its definition
    does: wrong wiring would only be reported again from every path.
    """
    checked: list[Checked] = []
    first: dict[str, tuple[str, Walked]] = {}
    waiting: set[str] = set()
    for protocol in protocols:
        if protocol.saga.name in waiting:
            checked.append(_unchecked(protocol))
            continue
        name, walked = first.get(protocol.saga.name, ("", None))
        found, mine = _check(protocol, name, walked)
        checked.append(found)
        if isinstance(protocol, DescribedSaga) and found.breaches:
            waiting.add(protocol.saga.name)
        if mine:
            first.setdefault(protocol.saga.name, (protocol.name, mine))
    return ProtocolReport(checked=checked)


def _unchecked(protocol: Protocol) -> Checked:
    return Checked(
        name=protocol.name,
        proven=[],
        breaches=[],
        unchecked=[*_rules(protocol), *paths.ALONE, *paths.ASKED],
        counts={"steps": len(protocol.saga.steps)},
    )


def _check(
    protocol: Protocol, other_name: str, other: Walked | None
) -> tuple[Checked, Walked | None]:
    groups = [paths.ALONE, paths.ASKED, *([paths.SAME] if other else [])]
    counts = _counts(protocol)
    proven, breaches = _try(_rules(protocol), protocol)
    walked = None
    while groups and not breaches and not isinstance(protocol, DescribedSaga):
        walked = walked or _walk(protocol)
        journeys = walked.journeys
        walk = Walk(protocol.saga, journeys, other.journeys if other else {}, other_name)
        holding, breaches = _try(groups.pop(0), walk)
        proven += holding
    if walked:
        journeys = walked.journeys
        counts |= {"scenarios": len(journeys), "states walked": walked.states}
    unchecked = (
        [] if isinstance(protocol, DescribedSaga) else [rule for group in groups for rule in group]
    )
    return (
        Checked(
            name=protocol.name, proven=proven, breaches=breaches, unchecked=unchecked, counts=counts
        ),
        walked if not breaches else None,
    )


def _try(rules: Sequence[Rule], evidence: object) -> tuple[list[Rule], list[Violation]]:
    proven: list[Rule] = []
    breaches: list[Violation] = []
    for rule in rules:
        found = [
            Violation(rule.name, *found_there, rule.mend) for found_there in rule.find(evidence)
        ]
        breaches += found
        if not found:
            proven.append(rule)
    return proven, breaches


def _rules(protocol: Protocol) -> Sequence[Rule]:
    return definition.RULES if isinstance(protocol, DescribedSaga) else wiring.rules_for(protocol)


def _walk(protocol: Choreography | Orchestration) -> Walked:
    if isinstance(protocol, Choreography):
        return walking.walk(protocol)
    return orchestrating.walk(protocol)


def _counts(protocol: Protocol) -> dict[str, int]:
    steps = {"steps": len(protocol.saga.steps)}
    if isinstance(protocol, DescribedSaga):
        return {**steps, "services": len({step.service for step in protocol.saga.steps})}
    if isinstance(protocol, Choreography):
        return {
            **steps,
            "events": len(wiring.publishers(protocol)),
            "reactions": len(protocol.reactions),
        }
    return {**steps, "calls": len(protocol.calls)}
