"""Chapters on a participant that is frozen or away: how the backlog grows and drains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.drawing import html, latency, plot, words
from loadtests.drawing.plot import Drawing, Frame
from loadtests.evaluating.comparison import Comparison
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import Sample
from loadtests.outages import Outage

LOOKS = 160
"""Points of a backlog's line, evenly spaced over a window and its drain."""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Checkouts that were accepted and have not ended, evenly sampled over `seconds`."""

    seconds: float
    waiting: Sequence[int]

    @property
    def highest(self) -> int:
        return max(self.waiting, default=0)


Backlogs = Mapping[str, Sequence[Backlog]]
"""By pattern and window."""


@dataclass(frozen=True, kw_only=True)
class Paused:
    """A pattern's windows in which a participant was frozen, and their backlogs."""

    pattern: str
    windows: Sequence[Sequence[Sample]]
    backlogs: Sequence[Backlog]
    resumed: float
    """Seconds from a window's first intended start."""

    @property
    def samples(self) -> list[Sample]:
        return [sample for window in self.windows for sample in window]

    @property
    def slowest_acceptance_ms(self) -> float | None:
        return max(
            (sample.acceptance_ms for sample in self.samples if sample.answered_at), default=None
        )


def outage(*, run: Comparison, samples: Sequence[Sample]) -> str:
    """Empty unless the run had windows with a frozen participant."""
    paused = next((w.window for w in run.windows if w.window.phase == WindowPhase.PAUSE), None)
    windows = latency.windows_of(run, samples, WindowPhase.PAUSE)
    if paused is None or not windows:
        return ""
    began = paused.seconds / 4
    resumed = began + paused.pause_seconds
    seconds = max(_length(window) for found in windows.values() for window in found.values())
    found = [
        Paused(
            pattern=pattern,
            windows=list(of_it.values()),
            backlogs=[backlog_of(samples=window, seconds=seconds) for window in of_it.values()],
            resumed=resumed,
        )
        for pattern, of_it in windows.items()
    ]
    backlogs = {pause.pattern: pause.backlogs for pause in found}
    return html.section(
        f"In the shaded {paused.pause_seconds:g} s one participant is frozen: its processes"
        " get SIGSTOP, then SIGCONT. The line counts the checkouts that are accepted and have not"
        " ended: it should grow only during the freeze, and drain soon after.",
        html.figure(
            lambda width: chart(found=backlogs, pause=(began, resumed), width=width),
            name="outage",
            title="Backlog while a participant is frozen",
            caption="Seconds from the first intended start of a window. Each line is a window.",
            table_html=_paused_table(found),
        ),
        name="outage",
        title="When a service is frozen",
    )


def away(*, outages: Sequence[Outage]) -> str:
    """The outage whose figures are in the run's folder; empty without one."""
    if not outages:
        return ""
    down = outages[0].down
    courses = {outage.pattern: [_course(outage)] for outage in outages}
    first = min(second.at for outage in outages for second in outage.course)
    return html.section(
        f"{down.participant} is stopped, and started again {down.seconds:.0f} s later (shaded);"
        " checkouts keep coming. One pattern after the other.",
        html.figure(
            lambda width: chart(found=courses, pause=(-first, down.seconds - first), width=width),
            name="away",
            title=f"Backlog while {down.participant} is away",
            caption="Checkouts that are accepted and have not ended, for each second.",
            table_html=_away_table(outages),
        ),
        name="away",
        title=f"When {down.participant} is away",
    )


def _course(outage: Outage) -> Backlog:
    return Backlog(
        seconds=float(max(len(outage.course) - 1, 1)),
        waiting=[max(second.backlog, 0) for second in outage.course],
    )


def _length(samples: Sequence[Sample]) -> float:
    start = min(sample.intended_at for sample in samples)
    return max(max(sample.ended_at, sample.intended_at) for sample in samples) - start


def backlog_of(*, samples: Sequence[Sample], seconds: float) -> Backlog:
    """The backlog of a window over `seconds` from its first intended start."""
    start = min((sample.intended_at for sample in samples), default=0.0)
    accepted = [sample for sample in samples if sample.saga_id and sample.answered_at]
    waiting = [
        sum(
            sample.answered_at <= at and (not sample.ended_at or sample.ended_at > at)
            for sample in accepted
        )
        for at in (start + seconds * look / LOOKS for look in range(LOOKS + 1))
    ]
    return Backlog(seconds=seconds, waiting=waiting)


def drained_after(*, samples: Sequence[Sample], resumed: float) -> float | None:
    """Seconds from `resumed` (in the window) until all checkouts accepted before it have ended.

    None if some never ended.
    """
    start = min(sample.intended_at for sample in samples)
    held = [
        sample for sample in samples if sample.saga_id and sample.answered_at - start <= resumed
    ]
    if any(not sample.ended_at for sample in held):
        return None
    last = max((sample.ended_at for sample in held), default=start)
    return max(last - start - resumed, 0.0)


def _paused_table(found: Sequence[Paused]) -> str:
    return html.by_pattern(
        found,
        {
            "accepted / offered": lambda pause: (
                f"{sum(s.saga_id != '' for s in pause.samples)} / {len(pause.samples)}"
            ),
            "slowest acceptance, ms": lambda pause: words.number(pause.slowest_acceptance_ms),
            "highest backlog": lambda pause: str(max(b.highest for b in pause.backlogs)),
            "drained after, s": lambda pause: words.spread(
                [drained_after(samples=window, resumed=pause.resumed) for window in pause.windows]
            ),
        },
        caption="Both windows; drained: from its SIGCONT until all accepted by then have ended",
    )


def _away_table(outages: Sequence[Outage]) -> str:
    return html.by_pattern(
        outages,
        {
            "offered": lambda outage: str(outage.offered),
            "accepted": lambda outage: str(outage.accepted),
            "refused": lambda outage: str(outage.refused),
            "ended": lambda outage: str(outage.ended),
            "highest backlog": lambda outage: str(outage.most_backlog),
            "drained after, s": lambda outage: f"{outage.drain_seconds:.1f}",
            "never ended": lambda outage: str(outage.unfinished),
            "failed calls to it": lambda outage: str(outage.down.calls),
        },
        caption="While it was away; drained: from its restart until the backlog had ended",
    )


def _highest(every: Sequence[Backlog]) -> int:
    return max((backlog.highest for backlog in every), default=0)


def chart(*, found: Backlogs, pause: tuple[float, float], width: float) -> Drawing:
    """A line per window; the `pause` (from, to) is shaded."""
    frame = Frame.below_names(found, width=width, height=280)
    every = [backlog for backlogs in found.values() for backlog in backlogs]
    up = frame.up(high=plot.rounded_up(max(_highest(every), 5)))
    across = frame.across(high=max((backlog.seconds for backlog in every), default=1.0))
    drawn = [
        frame.band(across(pause[0]), across(pause[1])),
        frame.upright(up, most=5, unit="checkouts"),
        frame.level(across, most=8, unit="s"),
    ]
    for pattern, backlogs in found.items():
        for backlog in backlogs:
            last = max(len(backlog.waiting) - 1, 1)
            points = [
                (across(backlog.seconds * look / last), up(count))
                for look, count in enumerate(backlog.waiting)
            ]
            drawn.append(plot.path(points, kind=f"line {words.colour_of(pattern)}"))
    drawn.append(frame.names(found))
    description = [
        f"{words.name_of(pattern)}: at most {_highest(of)} waiting" for pattern, of in found.items()
    ]
    return Drawing(height=frame.height, elements=drawn, description="; ".join(description))
