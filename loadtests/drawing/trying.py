"""Chapters on bad days: a participant that stands still, and a product that everybody wants."""

from collections.abc import Mapping, Sequence

from loadtests.drawing import backlog, html, percentiles, timing, words
from loadtests.drawing.backlog import Course
from loadtests.drawing.conclusions import Outage
from loadtests.drawing.stored import HOT, PAUSE, ZIPF, Run
from loadtests.measuring.samples import Sample


def outage(*, run: Run, samples: Sequence[Sample]) -> str:
    """Of a run that had a participant stand still; nothing else."""
    paused = next((w.window for w in run.windows if w.window.phase == PAUSE), None)
    by_pattern = {
        pattern: list(windows.values())
        for pattern, windows in timing.windows_of(run, samples, PAUSE).items()
        if windows
    }
    if paused is None or not by_pattern:
        return ""
    began = paused.seconds / 4
    pause = (began, began + paused.pause_seconds)
    seconds = max(_length(one) for windows in by_pattern.values() for one in windows)
    courses = {
        pattern: [backlog.course_of(samples=one, seconds=seconds) for one in windows]
        for pattern, windows in by_pattern.items()
    }
    return html.section(
        html.paragraph(
            f"In the shaded {paused.pause_seconds:g} s one participant stands still: its processes"
            " are stopped, and go on. The line is how many checkouts are accepted and have not"
            " ended: it should grow only so long, and be gone soon after."
        ),
        html.figure(
            name="outage",
            draw=lambda width, name: backlog.chart(
                found=courses,
                pause=pause,
                width=width,
                name=name,
                title="Backlog while a participant stands still",
            ),
            says="Seconds from the first intended start of a window. Each line is a window.",
            table_html=_table(by_pattern, courses, pause),
        ),
        name="outage",
        title="When a service stands still",
    )


def away(*, outages: Sequence[Outage]) -> str:
    """Of an outage that was measured by itself, and put into the run's folder."""
    if not outages:
        return ""
    down = outages[0].down
    first = min(second.at for one in outages for second in one.course)
    return html.section(
        html.paragraph(
            f"{down.participant} is ended, and started again {down.seconds:.0f} s later (until then"
            " shaded); the checkouts keep coming. One pattern after the other."
        ),
        html.figure(
            name="away",
            draw=lambda width, name: backlog.chart(
                found={one.pattern: [_course(one)] for one in outages},
                pause=(-first, down.seconds - first),
                width=width,
                name=name,
                title=f"Backlog while {down.participant} is away",
            ),
            says="Checkouts that are accepted and have not ended, second by second.",
            table_html=_figures(outages),
        ),
        name="away",
        title=f"When {down.participant} is away",
    )


def _course(one: Outage) -> Course:
    return Course(
        seconds=float(max(len(one.course) - 1, 1)),
        waiting=[max(second.backlog, 0) for second in one.course],
    )


def _figures(outages: Sequence[Outage]) -> str:
    return html.table(
        heads=["", *[words.name_of(one.pattern) for one in outages]],
        rows=[
            ["offered meanwhile", *[str(one.offered) for one in outages]],
            ["accepted", *[str(one.accepted) for one in outages]],
            ["refused", *[str(one.refused) for one in outages]],
            ["ended", *[str(one.ended) for one in outages]],
            ["most that waited", *[str(one.most_backlog) for one in outages]],
            ["drained after, s", *[f"{one.drain_seconds:.1f}" for one in outages]],
            ["never ended", *[str(one.unfinished) for one in outages]],
            ["calls of it in vain", *[str(one.down.calls) for one in outages]],
        ],
        caption="While it was away; drained: from its start until all that waited had ended",
    )


def hot(*, run: Run, samples: Sequence[Sample]) -> str:
    """Of a run in which all or many wanted the same product; nothing else."""
    figures = [
        _wanted(run, samples, HOT, "One product in every cart: they queue for its one row."),
        _wanted(
            run,
            samples,
            ZIPF,
            "Some products are popular: the n-th is wanted as often as 1 / n to the power of"
            f" {_exponent(run):g} (Zipf's law).",
        ),
    ]
    if not any(figures):
        return ""
    return html.section(
        html.paragraph(
            f"{run.settings.rate:g} checkouts a second, as in the first chart. There, carts seldom"
            " hold the same product; here they do."
        ),
        *figures,
        name="hot",
        title="When everybody wants the same",
    )


def _wanted(run: Run, samples: Sequence[Sample], phase: str, says: str) -> str:
    found = timing.by_window(run=run, samples=samples, phase=phase, of=timing.until_completed)
    if not found:
        return ""
    return html.figure(
        name=phase,
        draw=lambda width, name: percentiles.chart(
            found=found, width=width, name=name, title=f"Latency. {says}"
        ),
        says=says,
        table_html=timing.times_table(
            run.of(phase), lambda one: one.outcome, "ms from intended start to outcome"
        ),
    )


def _exponent(run: Run) -> float:
    return next((one.window.mix.zipf for one in run.windows if one.window.phase == ZIPF), 0.0)


def drained_after(*, samples: Sequence[Sample], resumed: float) -> float | None:
    """Seconds from `resumed` (in the window) until all that was accepted before it has ended.

    None where some never did.
    """
    start = min(one.intended_at for one in samples)
    held = [one for one in samples if one.saga_id and one.answered_at - start <= resumed]
    if any(not one.ended_at for one in held):
        return None
    last = max((one.ended_at for one in held), default=start)
    return max(last - start - resumed, 0.0)


def _length(samples: Sequence[Sample]) -> float:
    start = min(one.intended_at for one in samples)
    return max(max(one.ended_at, one.intended_at) for one in samples) - start


def _table(
    found: Mapping[str, Sequence[Sequence[Sample]]],
    courses: Mapping[str, Sequence[Course]],
    pause: tuple[float, float],
) -> str:
    every = {pattern: [s for one in windows for s in one] for pattern, windows in found.items()}
    drained = {
        pattern: [drained_after(samples=one, resumed=pause[1]) for one in windows]
        for pattern, windows in found.items()
    }
    return html.table(
        heads=["", *[words.name_of(one) for one in found]],
        rows=[
            [
                "accepted / offered",
                *[f"{sum(s.saga_id != '' for s in one)} / {len(one)}" for one in every.values()],
            ],
            [
                "slowest acceptance, ms",
                *[words.number(_slowest(one)) for one in every.values()],
            ],
            [
                "most waiting at a time",
                *[str(max(c.highest for c in one)) for one in courses.values()],
            ],
            [
                "seconds until those were done",
                *[words.spread(one) for one in drained.values()],
            ],
        ],
        caption="Both windows; drained: from when it goes on until all accepted by then have ended",
    )


def _slowest(samples: Sequence[Sample]) -> float | None:
    return max((one.acceptance_ms for one in samples if one.answered_at), default=None)
