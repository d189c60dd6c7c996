"""CPU time by process tree, from the kernel's own accounts."""

from collections.abc import Mapping

import psutil


def cpu_seconds(*, roots: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds of each named process with all of its descendants.

    Children that have ended and were waited for are in it, so that the figure never falls.
    """
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for process in psutil.process_iter(["ppid", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is None:  # it ended while we looked
            continue
        spent[process.pid] = times.user + times.system + times.children_user + times.children_system
        children.setdefault(process.info["ppid"], []).append(process.pid)
    return {name: _of_tree(pid, children, spent) for name, pid in roots.items()}


def machine_busy_seconds() -> tuple[float, float]:
    """CPU seconds that the whole machine has worked, and those that its host took away (steal)."""
    times = psutil.cpu_times()
    steal = getattr(times, "steal", 0.0)
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - steal - _guests(times), steal


def _guests(times: object) -> float:
    """Already counted in user and nice (proc(5))."""
    return float(getattr(times, "guest", 0.0)) + float(getattr(times, "guest_nice", 0.0))


def _of_tree(pid: int, children: Mapping[int, list[int]], spent: Mapping[int, float]) -> float:
    return spent.get(pid, 0.0) + sum(
        _of_tree(child, children, spent) for child in children.get(pid, [])
    )
