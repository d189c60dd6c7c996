"""The chapter "What a checkout costs": which resources it uses, and in which process."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from catalogue.services import WITH_DATABASE
from loadtests.drawing import bars, html, words
from loadtests.drawing.bars import Segment, StackedBar
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import CostPerCheckout, Figures
from loadtests.load.windows import WindowPhase
from loadtests.measuring.cost import OURS

GROUPS = {
    **{service: service.removeprefix("saga_") for service in WITH_DATABASE},
    "postgres": "PostgreSQL",
    "rabbitmq": "RabbitMQ",
}
OTHER = "other"
COLOURS = 9
PARTS_OF = {"epmd": "rabbitmq"}
COUNTED: Mapping[str, Callable[[CostPerCheckout], float]] = {
    "transactions that wrote": lambda cost: cost.writes,
    "write-ahead log, kB": lambda cost: cost.wal_bytes / 1000,
    "messages published": lambda cost: cost.messages,
    "HTTP calls": lambda cost: cost.http_calls,
}


def cost(*, run: Comparison) -> str:
    """CPU by process, and writes, messages and calls, at full load and at light load."""
    full, light = run.of(WindowPhase.FULL), run.of(WindowPhase.LIGHT)
    if not full:
        return ""
    colours = [
        (GROUPS.get(group, OTHER), _colour(place)) for place, group in enumerate(_present(full))
    ]
    return html.section(
        "Everything the shop used, divided by its checkouts: at full load, where batches are"
        " full, and at light load, where every checkout is handled alone. The load generator"
        " is not included.",
        "<h3>CPU time by process</h3>",
        html.key(colours),
        _cpu("cpu-full", full, "At full load"),
        _cpu("cpu-light", light, "At light load"),
        html.paragraph(
            f"The idle stack uses {words.number(run.at_rest_ms_per_second)} ms of CPU per second;"
            " this is included, and weighs more at light load.",
            kind="soft",
        ),
        _harness(light),
        "<h3>Writes, messages and calls</h3>",
        _counted(full, light),
        name="cost",
        title="What a checkout costs",
    )


def _harness(light: Sequence[Figures]) -> str:
    """The CPU share of the measurement itself; empty where it is not known."""
    known = [
        f"{words.share(figures.harness_share)} ({words.name_of(figures.pattern)})"
        for figures in light
        if figures.harness_share is not None
    ]
    if not known:
        return ""
    return html.paragraph(
        f"Load generator and meters used {words.listed(known)} of all CPU in the windows at"
        " light load, including the waits until the shop was idle. Carts are made and outcomes"
        " collected between the windows.",
        kind="soft",
    )


def by_group(*, found: CostPerCheckout) -> dict[str, float]:
    """CPU ms per checkout by group (web and worker together), in the order of GROUPS."""
    spent = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for process, amount in found.cpu_ms.items():
        if process not in OURS:
            service = process.partition(".")[0]
            group = PARTS_OF.get(service, service)
            spent[group if group in GROUPS else OTHER] += amount
    return spent


def _cpu(name: str, figures: Sequence[Figures], when: str) -> str:
    if not figures:
        return ""
    every = _stacks(figures)
    return html.figure(
        lambda width: bars.stacks(every=every, unit="CPU ms per checkout", width=width),
        name=name,
        title=f"CPU time of a checkout by process. {when}",
        caption=f"{when}.",
        table_html=_cpu_table(figures, f"{when}: CPU ms per checkout, web + worker process"),
    )


def _stacks(figures: Sequence[Figures]) -> list[StackedBar]:
    groups = _present(figures)
    return [
        StackedBar(
            pattern=figure.pattern,
            description=words.ms(figure.cost.shop_cpu_ms),
            parts=[
                Segment(
                    label=GROUPS.get(group, OTHER),
                    amount=by_group(found=figure.cost)[group],
                    kind=_colour(place),
                )
                for place, group in enumerate(groups)
            ],
        )
        for figure in figures
    ]


def _present(figures: Sequence[Figures]) -> list[str]:
    """The groups that used any CPU, and OTHER."""
    spent = [by_group(found=figure.cost) for figure in figures]
    return [
        group for group in [*GROUPS, OTHER] if group == OTHER or any(each[group] for each in spent)
    ]


def _colour(place: int) -> str:
    return f"p{place % COLOURS}"


def _cpu_table(figures: Sequence[Figures], caption: str) -> str:
    processes = sorted({name for figure in figures for name in figure.cost.cpu_ms})
    services = dict.fromkeys(name.partition(".")[0] for name in processes)
    rows: dict[str, Callable[[Figures], str]] = {
        name.replace("_", " "): partial(_web_and_worker, service=name) for name in services
    }
    rows["the whole shop"] = lambda figures: words.number(figures.cost.shop_cpu_ms)
    return html.by_pattern(figures, rows, caption=caption)


def _web_and_worker(figures: Figures, service: str) -> str:
    spent = figures.cost.cpu_ms
    parts = [spent.get(f"{service}.{kind}") for kind in ("web", "worker")]
    known = [part for part in parts if part is not None]
    return " + ".join(f"{part:.2f}" for part in known or [spent.get(service, 0.0)])


def _counted(full: Sequence[Figures], light: Sequence[Figures]) -> str:
    amounts = {
        label: {figures.pattern: of(figures.cost) for figures in full}
        for label, of in COUNTED.items()
    }
    return html.figure(
        lambda width: bars.pairs(rows=amounts, width=width),
        name="counted",
        title="What a checkout uses besides CPU, at full load",
        caption="Per checkout, at full load. Each figure has its own scale.",
        table_html=html.table(
            heads=["", *[words.name_of(figures.pattern) for figures in full]],
            rows=[
                [f"{label}, {when}", *[words.number(of(figure.cost)) for figure in figures]]
                for label, of in COUNTED.items()
                for when, figures in (("full load", full), ("light load", light))
                if figures
            ],
            caption="Per checkout",
        ),
    )
