"""What makes a result doubtful or void, said in plain words."""

from collections.abc import Sequence

from loadtests.plan import Phase
from loadtests.results import Figures, Measured

LAG_MS = 5.0
GENERATOR_SHARE = 0.8
FOREIGN_SHARE = 0.05
STEAL_SHARE = 0.02
CLOCK_STEP_MS = 1.0


def doubts(*, measured: Sequence[Measured], figures: Sequence[Figures], cores: int) -> list[str]:
    """One sentence for each; none where all is well."""
    return [
        *[doubt for one in figures for doubt in _of_figures(one)],
        *[doubt for one in measured for doubt in _of_window(one, cores)],
    ]


def _of_figures(one: Figures) -> list[str]:
    where = f"{one.phase} load, {one.pattern}"
    found = []
    if one.phase != Phase.FULL and one.lag_p99_ms > LAG_MS:
        found.append(
            f"INVALID latencies: {where}: the generator itself was late (p99 of the send lag"
            f" {one.lag_p99_ms:.1f} ms, allowed {LAG_MS:.0f} ms)."
        )
    if one.generator_busy_share > GENERATOR_SHARE:
        found.append(
            f"{where}: the generator was saturated ({one.generator_busy_share:.0%} of a core), so"
            " the shop may be able to do more."
        )
    if one.foreign_busy_share > FOREIGN_SHARE:
        found.append(
            f"{where}: other programs used {one.foreign_busy_share:.0%} of the machine: close them"
            " and run again."
        )
    if one.counts.not_accepted:
        found.append(f"{where}: {one.counts.not_accepted} checkouts were not accepted.")
    if one.counts.unfinished:
        found.append(f"{where}: {one.counts.unfinished} checkouts did not end in time.")
    if one.phase == Phase.FULL and not any(one.is_saturated):
        found.append(f"{where}: never saturated: completed/s is what was asked, not the most.")
    return found


def _of_window(one: Measured, cores: int) -> list[str]:
    where = f"window {one.window.number} ({one.window.phase}, {one.window.pattern})"
    found = []
    if abs(one.clock_step_ms) > CLOCK_STEP_MS:
        found.append(f"INVALID: {where}: the clock was set by {one.clock_step_ms:.1f} ms.")
    if not one.has_rested:
        found.append(f"{where}: messages were still on their way when the next window began.")
    steal = one.cost.steal_ms / (one.cost.seconds * 1000 * cores)
    if steal > STEAL_SHARE:
        found.append(f"{where}: the machine's host took {steal:.0%} of the CPU away.")
    return found
