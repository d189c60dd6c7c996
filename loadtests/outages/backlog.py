"""What an outage did to the checkouts of a pattern: pure, from their samples and a few times."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.measuring.samples import ACCEPTED, Sample


@dataclass(frozen=True, kw_only=True)
class Down:
    """When the participant was away, in seconds since 1970; `is_back`: from when its processes
    are started again, so that what they need to come up counts as draining, in every pattern.

    `calls`, `probes`: how often the orchestrator has called it in that time, and asked whether it
    is ready.
    """

    participant: str
    went_at: float
    is_back_at: float
    calls: int
    probes: int

    @property
    def seconds(self) -> float:
        return self.is_back_at - self.went_at


@dataclass(frozen=True, kw_only=True)
class Second:
    """What had happened so many seconds after the participant went (before: negative), in all."""

    at: int
    accepted: int
    refused: int
    ended: int

    @property
    def backlog(self) -> int:
        """Accepted and not ended."""
        return self.accepted - self.ended


@dataclass(frozen=True, kw_only=True)
class Outage:
    """One pattern through one outage.

    `accepted`, `refused`, `ended`: while the participant was away. `unfinished`: accepted at any
    time and never ended. `drain_seconds`: from its return until the last checkout that was
    accepted before that had ended. `course`: second by second.
    """

    pattern: str
    down: Down
    offered: int
    accepted: int
    refused: int
    ended: int
    completed_in_all: int
    unfinished: int
    most_backlog: int
    drain_seconds: float
    course: Sequence[Second]


def outage_of(*, pattern: str, samples: Sequence[Sample], down: Down) -> Outage:
    """What these samples of one pattern tell of its outage."""
    accepted = [one for one in samples if one.http_status == ACCEPTED]
    refused = [one for one in samples if one.http_status != ACCEPTED]
    while_down = [one for one in accepted if down.went_at <= one.answered_at < down.is_back_at]
    waiting = [one.ended_at for one in accepted if one.answered_at < down.is_back_at]
    course = _course(accepted, refused, down)
    return Outage(
        pattern=pattern,
        down=down,
        offered=_within([one.intended_at for one in samples], down),
        accepted=len(while_down),
        refused=_within([one.intended_at for one in refused], down),
        ended=_within([one.ended_at for one in accepted], down),
        completed_in_all=sum(one.outcome == "completed" for one in samples),
        unfinished=sum(not one.ended_at for one in accepted),
        most_backlog=max((one.backlog for one in course), default=0),
        drain_seconds=max(0.0, max(waiting, default=0.0) - down.is_back_at),
        course=course,
    )


def _within(times: Sequence[float], down: Down) -> int:
    return sum(down.went_at <= one < down.is_back_at for one in times)


def _course(accepted: Sequence[Sample], refused: Sequence[Sample], down: Down) -> list[Second]:
    answered = sorted(one.answered_at - down.went_at for one in accepted)
    no = sorted(one.intended_at - down.went_at for one in refused)
    ended = sorted(one.ended_at - down.went_at for one in accepted if one.ended_at)
    known = [*answered, *no, *ended]
    if not known:
        return []
    return [
        Second(
            at=at, accepted=_until(answered, at), refused=_until(no, at), ended=_until(ended, at)
        )
        for at in range(int(min(known)), int(max(known)) + 2)
    ]


def _until(times: Sequence[float], at: int) -> int:
    return sum(one <= at for one in times)
