"""What an audit found: for each group what was counted, and every breach by name."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SHOWN = 20
"""Breaches named in a group; further ones are only counted."""

TITLES = {
    1: "stock and couriers add up",
    2: "money adds up",
    3: "every accepted saga has ended",
    4: "the services agree",
    5: "undone once, in reverse order",
    6: "no effect without its cause",
    7: "at rest",
    8: "one key one saga, no way back",
}


@dataclass(frozen=True, kw_only=True)
class Breach:
    """Something that must never be. `saga_id` is empty where it concerns no single saga."""

    saga_id: str
    what: str


@dataclass(kw_only=True)
class Group:
    """One of the eight groups."""

    number: int
    counted: str = ""
    count: int = 0
    breaches: list[Breach] = field(default_factory=list)

    @property
    def title(self) -> str:
        return TITLES[self.number]


@dataclass(kw_only=True)
class Report:
    """All groups. `notes`: what a person should know, and what is no breach."""

    groups: dict[int, Group] = field(
        default_factory=lambda: {number: Group(number=number) for number in TITLES}
    )
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not any(group.count for group in self.groups.values())

    def breach(self, *, group: int, what: str, saga_id: str = "") -> None:
        """Counts a breach, and keeps the first of each group by name."""
        found = self.groups[group]
        found.count += 1
        if len(found.breaches) < SHOWN:
            found.breaches.append(Breach(saga_id=saga_id, what=what))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "clean": self.is_clean,
            "groups": [
                {
                    "number": group.number,
                    "title": group.title,
                    "counted": group.counted,
                    "breach_count": group.count,
                    "breaches": [
                        {"saga_id": one.saga_id or None, "what": one.what} for one in group.breaches
                    ],
                }
                for group in self.groups.values()
            ],
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """For people: a line a group, and below it its breaches."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        for group in self.groups.values():
            verdict = f"{group.count} BREACHED" if group.count else "ok"
            yield f"{group.number}  {group.title:<31} {verdict:<12} {group.counted}"
            for one in group.breaches:
                yield f"     {f'saga {one.saga_id}: ' if one.saga_id else ''}{one.what}"
            if group.count > len(group.breaches):
                yield f"     ... and {group.count - len(group.breaches)} more"
        yield from (f"note: {note}" for note in self.notes)
        total = sum(group.count for group in self.groups.values())
        yield "The audit is clean." if self.is_clean else f"BREACHED: {total} in all."
