"""A whole run with the rivals: a shop and all rivals on one fresh stack, measured in turns."""

import os
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests.comparing import REPORTS
from loadtests.drawing.stored import FIGURES, SAMPLES
from loadtests.evaluating import caveats, results
from loadtests.evaluating.comparison import facts
from loadtests.evaluating.results import Measured
from loadtests.load import shopper
from loadtests.load.windows import (
    AUDIT_SECONDS,
    Arrivals,
    Load,
    Window,
    WindowPhase,
    in_blocks,
)
from loadtests.measuring import cost, machine, samples
from loadtests.measuring.cost import Meters
from loadtests.measuring.samples import NotMeasured, Sample
from loadtests.rivals import beside, ratios, report
from loadtests.rivals.beside import RIVALS
from loadtests.rivals.ratios import Idle, Result
from loadtests.running.bench import own_stack, run_audit
from loadtests.running.runner import Say
from loadtests.running.store import as_json
from loadtests.shop import shop_of

PATTERNS = shopper.THE_TWO
NAMES = tuple(rival.name for rival in RIVALS)
ARMS = (*PATTERNS, *NAMES)
SHOP = "shop"
PROCESSES = (
    "a rival has one per core, Temporal also its server; the shop one web and one worker process"
    " per service; all on this machine, with the generator"
)
BLOCKS = 8
"""Windows of an arm at either load: an interval is made from them."""
ALONE_RATE = 2.0
"""Per second: 500 ms apart, more than the slowest checkout takes on a slow machine."""
LIGHT_SHARE = 0.6
LEAST_SECONDS = 20.0
"""The windows of a shorter run would have too few checkouts."""
BURST = 300.0
WARM_UP_SECONDS = 2.0
REST_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class RivalSettings:
    """What the user asked for. `seconds`: timed seconds of an arm, without warm-up."""

    seconds: float = 60.0
    seed: int


def windows(*, settings: RivalSettings) -> list[Window]:
    """All windows, in order."""
    warm_up = Load(phase=WindowPhase.WARM_UP, arrivals=Arrivals.CONSTANT, seconds=WARM_UP_SECONDS)
    light = settings.seconds * LIGHT_SHARE / BLOCKS
    full = settings.seconds * (1 - LIGHT_SHARE) / BLOCKS
    loads = [
        replace(warm_up, rate=ALONE_RATE),
        replace(warm_up, rate=BURST),
        # Their rates follow from the windows before: a bit more than the arm could do so far.
        *[warm_up] * 2,
        *[
            Load(
                phase=WindowPhase.LIGHT,
                arrivals=Arrivals.CONSTANT,
                rate=ALONE_RATE,
                seconds=light,
            )
        ]
        * BLOCKS,
        *[Load(phase=WindowPhase.FULL, arrivals=Arrivals.CONSTANT, seconds=full)] * BLOCKS,
    ]
    chance = random.Random(settings.seed)  # noqa: S311 -- an order to repeat, no secret
    bursts = {rival.name: rival.burst for rival in RIVALS}
    return [
        replace(window, rate=bursts.get(window.pattern, BURST)) if window.rate == BURST else window
        for window in in_blocks(loads=loads, patterns=ARMS, chance=chance)
    ]


def run(*, settings: RivalSettings, say: Say) -> tuple[Result, Path]:
    """The result and its page. Raises StackError, NotSupplied, GeneratorFailed, NotMeasured (also
    if any books are wrong), psycopg.Error, KeyboardInterrupt.
    """
    beside.require_environment()
    started, now = time.monotonic(), datetime.now(UTC)
    with (
        # Not on a given server, as the rivals create databases.
        own_stack(variables={}, say=say, use_given=False) as stack,
        tempfile.TemporaryDirectory(prefix="dueto-rivals-") as working,
        ExitStack() as opened,
    ):
        own = shop_of(stack=stack)
        own = replace(own, processes=lambda: beside.own_processes(every=stack.processes))
        rivals = beside.start(stack=stack, say=say)
        of_run: dict[str, Any] = {"stack": stack, "name": str(settings.seed), "say": say}
        made = {
            name: opened.enter_context(
                beside.runner_on(shop=shop, folder=Path(working, name), **of_run)
            )
            for name, shop in rivals.items()
        }
        runner, meters = opened.enter_context(
            beside.runner_on(
                shop=own,
                folder=Path(working, SHOP),
                seconds_after=AUDIT_SECONDS,
                elsewhere={name: other for name, (other, _) in made.items()},
                **of_run,
            )
        )
        environment = machine.describe(shop=own, database=stack.database)
        environment |= {"rivals": beside.versions(), "processes": PROCESSES}
        idle = _at_rest({arm: made[arm][1] if arm in made else meters for arm in ARMS})
        planned = windows(settings=settings)
        measured = runner.run(planned=planned, known=[], done=lambda _: None)
        say("auditing the tables of the shop and the rivals")
        books = {
            name: _audited(name, rivals[name].databases["default"], measured) for name in NAMES
        }
        audit = run_audit(environment=stack.audit_environment)
        if not audit.is_clean:
            raise NotMeasured(f"no result: the audit of the shop found a breach.\n{audit.output}")
    kept = [
        window for window in measured if window.phase is not WindowPhase.WARM_UP and window.samples
    ]
    result = Result(
        made_at=now.isoformat(timespec="seconds"),
        seconds_taken=time.monotonic() - started,
        settings=asdict(settings),
        environment=environment,
        patterns=PATTERNS,
        rivals=NAMES,
        figures=ratios.figures(measured=kept, arms=ARMS, idle=idle),
        ratios=ratios.ratios(measured=kept, patterns=PATTERNS, rivals=NAMES, idle=idle),
        idle=idle,
        caveats=_caveats(kept, idle),
        books=books,
        windows=[facts(window) for window in measured],
    )
    return result, _kept(result, measured, now)


def _caveats(kept: Sequence[Measured], idle: Mapping[str, Idle]) -> list[str]:
    """As for a comparison; the idle load of other arms does not count as other programs."""
    cores = os.cpu_count() or 1
    # Both patterns are the same shop.
    at_rest = sum(found.own for arm, found in idle.items() if arm != PATTERNS[1])
    known = [
        replace(
            measured,
            cost=replace(
                measured.cost, busy_ms=measured.cost.busy_ms - others * measured.cost.seconds
            ),
        )
        for measured in kept
        for others in [at_rest - idle[measured.pattern].own]
    ]
    every = [
        results.figures(measured=known, phase=phase, pattern=arm, cores=cores)
        for phase, arm in dict.fromkeys((measured.phase, measured.pattern) for measured in known)
    ]
    # At two per second the machine has enough CPU for generator and meters, whatever their share.
    every = [
        replace(figures, harness_share=0.0) if figures.phase is WindowPhase.LIGHT else figures
        for figures in every
    ]
    return caveats.caveats(measured=known, figures=every, cores=cores)


def _at_rest(meters: Mapping[str, Meters]) -> dict[str, Idle]:
    """What each idle arm uses."""
    before = {arm: meter.read() for arm, meter in meters.items()}
    time.sleep(REST_SECONDS)
    spent = {arm: cost.between(before[arm], meter.read()) for arm, meter in meters.items()}
    return {
        arm: Idle(
            own=(found.shop_cpu_ms - found.cpu_ms["postgres"]) / found.seconds,
            database=found.cpu_ms["postgres"] / found.seconds,
        )
        for arm, found in spent.items()
    }


def _audited(rival: str, database: str, measured: Sequence[Measured]) -> dict[str, str]:
    """A rival's books. Raises NotMeasured if they are wrong."""
    accepted = [
        sample.saga_id
        for window in measured
        if window.pattern == rival
        for sample in window.samples
        if sample.saga_id
    ]
    books = beside.read_books(database=database, accepted=accepted)
    if wrong := beside.breaches(books=books):
        raise NotMeasured(f"no result: the books of {rival} do not add up: {'; '.join(wrong)}")
    return {name: str(value) for name, value in books.items()}


def _kept(result: Result, measured: Sequence[Measured], now: datetime) -> Path:
    """Writes figures, samples and page into a new folder; returns the page's path."""
    folder = REPORTS / f"{now:%Y-%m-%dT%H-%M-%SZ}-rivals-seed-{result.settings['seed']}"
    folder.mkdir(parents=True)
    (folder / FIGURES).write_bytes(as_json(result))
    every = [sample for window in measured for sample in window.samples]
    samples.write(path=folder / SAMPLES, kind=Sample, every=every)
    path = folder / "report.html"
    path.write_text(report.page(result=result))
    return path
