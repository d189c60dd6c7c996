"""How one saga ended: rules from its evidence to the breaches of groups 3, 4 and 8.

A saga that still runs, or that is parked, is held only to what must hold at any moment; one of
which a person skipped a step is theirs to answer for.
"""

from collections.abc import Iterator

from contracts.patterns import PATTERNS
from contracts.states import FINAL
from loadtests.audit.generic.evidence import Accepted, Evidence, Run


def ended(saga: Evidence) -> Iterator[str]:
    """3: it has ended, or is parked with its reason and step."""
    accepted, run = saga.accepted, saga.run
    if accepted is None or saga.is_over:
        return
    if run is None and accepted.aside:
        return
    if run is None:
        handed = "handed over, but no coordinator has it" if accepted.handed_over_at else ""
        yield handed or "accepted, and never handed over to its coordinator"
    elif run.status != "parked":
        where = f" at {run.step}" if run.step else ""
        yield (
            f"not ended: {run.status}{where} ({run.service}),"
            f" {accepted.status} for {accepted.service}"
        )
    elif not (run.parked and run.step):
        yield f"parked without {'a reason' if run.step else 'its step'} ({run.service})"


def agreement(saga: Evidence) -> Iterator[str]:
    """4: its owner, its coordinator and what was done tell the same outcome."""
    accepted = saga.accepted
    if accepted is None or not saga.is_over:
        return
    if not saga.data:
        yield f"{accepted.service} can't read what it is about"
    for run in saga.runs:
        yield from _run_agrees(accepted, run)
    if not saga.runs and not saga.is_local and (saga.is_completed or _has_begun(saga)):
        yield f"{accepted.status}, but no coordinator has it"
    if not saga.is_local and not saga.is_skipped:
        yield from _steps_agree(saga)


def steady(saga: Evidence) -> Iterator[str]:
    """8: nothing ends before it begins, and what has ended stays so."""
    accepted = saga.accepted
    if accepted is None:
        return
    if len(saga.of(Accepted)) > 1:
        yield f"accepted {len(saga.of(Accepted))} times"
    if (accepted.status in FINAL) != (accepted.ended_at is not None):
        yield f"{accepted.service} says {accepted.status}, ended at {accepted.ended_at}"
    if accepted.ended_at is not None and accepted.ended_at < accepted.accepted_at:
        before = accepted.accepted_at - accepted.ended_at
        yield f"ended {before:.3f} s before it was accepted"
    for run in saga.runs:
        if run.status in FINAL and run.finished_at is None:
            yield f"{run.status} for {run.service}, but at no time"


def _steps_agree(saga: Evidence) -> Iterator[str]:
    if saga.is_completed:
        for step in saga.page.steps:
            if not saga.done(step.name):
                yield f"completed, but {step.name} was never done"
    acceptance = _acceptance(saga)
    undone = [one for one in saga.page.backward if one != acceptance and saga.undone(one)]
    if saga.status == "failed" and undone:
        yield f"failed (nothing had to be undone), but undone: {', '.join(undone)}"
    if saga.status == "compensated" and not undone:
        yield "compensated, but nothing was undone"


def _run_agrees(accepted: Accepted, run: Run) -> Iterator[str]:
    if run.status != accepted.status:
        yield f"{accepted.status} for {accepted.service}, {run.status} for {run.service}"
    for what, one, other in (
        ("saga", accepted.saga, run.saga),
        ("subject", accepted.subject, run.subject),
    ):
        if one != other:
            yield f"its {what} is {one} for {accepted.service}, {other} for {run.service}"
    if accepted.digest != run.digest:
        yield f"what it is about is not the same for {accepted.service} and {run.service}"
    pattern = PATTERNS.get(accepted.pattern)
    if pattern is None or pattern.coordinator != run.service:
        yield f"accepted as {accepted.pattern}, run by {run.service}"


def _acceptance(saga: Evidence) -> str:
    return saga.page.steps[0].name


def _has_begun(saga: Evidence) -> bool:
    return any(one.step != _acceptance(saga) for one in saga.entries)
