import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loadtests.drawing import page, stored
from loadtests.drawing.stored import NotARun
from loadtests.evaluating.results import Audit
from loadtests.outages import (
    Down,
    MeasuredOutages,
    OutageSettings,
    as_figures,
    outage_of,
)
from tests.unit.loadtests.builders import (
    EPOCH,
    SETTINGS,
    THREE,
    full_run,
    measured,
    sample,
    stored_run,
    whole_run,
    window,
)

MOST_BYTES = 1_000_000
EMPTY = {"meta", "link", "br", "img", "hr", "input"}


class Nesting(HTMLParser):
    """Tracks open tags, and tags that are closed but were not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.from_elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in EMPTY:
            self.open.append(tag)
        self._look(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look(attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def _look(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href") and not (value or "").startswith("#"):
                self.from_elsewhere.append(value or "")


def _parsed(text: str) -> Nesting:
    parser = Nesting()
    parser.feed(text)
    parser.close()
    return parser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / page.PAGE).read_text()


def test_page_is_well_formed(text: str) -> None:
    parsed = _parsed(text)
    assert not parsed.wrong
    assert not parsed.open
    assert len(parsed.ids) == len(set(parsed.ids))


def test_page_needs_no_other_file_and_no_script(text: str) -> None:
    assert not _parsed(text).from_elsewhere
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_drawing_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("report.json", "samples.csv"):
        shutil.copy(folder / name, tmp_path)
    again = page.draw(folder=tmp_path)
    assert again.read_bytes() == (folder / page.PAGE).read_bytes()


def test_link_in_its_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(folder, copy)
    other.write_text("mine")
    (copy / page.PAGE).unlink(missing_ok=True)
    (copy / page.PAGE).symlink_to(other)
    page.draw(folder=copy)
    assert other.read_text() == "mine"
    assert not (copy / page.PAGE).is_symlink()


def test_verdict_comes_first_in_words(text: str) -> None:
    headline = text.partition("<h1>")[2].partition("</h1>")[0]
    assert headline == (
        "Choreographed finishes sooner, has the shorter long waits and takes more load"
    )
    assert text.index("<h1>") < text.index("<svg")


def test_contents_lead_to_every_chapter(text: str) -> None:
    leads_to = re.findall('href="#([^"]+)"', text)
    assert leads_to == re.findall('<section id="([^"]+)"', text)


def test_page_says_what_makes_the_same_run_again(text: str) -> None:
    assert "python manage.py compare --seed 11" in text


def test_warnings_come_before_the_figures(tmp_path: Path) -> None:
    stuck = measured(of=window(), latencies=[0.02], more=[sample(ended=False)] * 49)
    stored_run(tmp_path, every=[*whole_run(), stuck])
    text = (tmp_path / page.PAGE).read_text()
    warning = text.index("49 checkouts did not end in time")
    assert text.index("<h1>") < warning < text.index('class="tiles"')


def test_every_chart_has_its_numbers_beside_it(text: str) -> None:
    figures = text.split("<figure>")[1:]
    assert len(figures) >= 8
    assert all("<table>" in figure.partition("</figure>")[0] for figure in figures)


def test_page_with_30000_samples_stays_below_a_megabyte(tmp_path: Path) -> None:
    many = [0.01 + n % 997 / 10_000 for n in range(15_000)]
    every = whole_run() + [
        measured(of=window(pattern=pattern, number=99), latencies=many)
        for pattern in ("orchestrated", "choreographed")
    ]
    stored_run(tmp_path, every=every)
    assert (tmp_path / page.PAGE).stat().st_size < MOST_BYTES


def test_full_run_of_three_patterns_shows_all_that_was_tried(tmp_path: Path) -> None:
    settings = replace(SETTINGS, patterns=THREE, is_full=True, seconds=6)
    stored_run(tmp_path, every=full_run(), settings=settings)
    text = (tmp_path / page.PAGE).read_text()
    parsed = _parsed(text)
    assert not parsed.wrong
    assert len(text) < MOST_BYTES
    shown = {"waterfall", "load", "outage", "hot", "cost", "failures", "throughput"}
    assert shown <= set(parsed.ids)
    assert "knee, per second" in text
    assert "orchestrated over messages" in text


def test_page_omits_what_a_run_did_not_try(text: str) -> None:
    assert not {"waterfall", "load", "outage", "hot"} & set(_parsed(text).ids)


def test_breach_is_the_headline(tmp_path: Path) -> None:
    stored_run(tmp_path, audit="stock of product 7 is off by 1")
    text = (tmp_path / page.PAGE).read_text()
    assert "<h1>No result: the audit found" in text
    assert "stock of product 7 is off by 1" in text


def test_void_run_is_called_void_before_anything_else(tmp_path: Path) -> None:
    late = measured(of=window(), latencies=[0.02])
    late = replace(late, clock_step_ms=7.0)
    stored_run(tmp_path, every=[*whole_run(), late])
    assert "<h1>Not a valid run" in (tmp_path / page.PAGE).read_text()


@pytest.mark.parametrize("is_clean", [True, False])
def test_outage_in_the_folder_is_drawn_unless_its_audit_failed(
    folder: Path, tmp_path: Path, is_clean: bool
) -> None:
    for name in ("report.json", "samples.csv"):
        shutil.copy(folder / name, tmp_path)
    away = Down(participant="pagos", went_at=EPOCH + 3, is_back_at=EPOCH + 9, calls=4, probes=6)
    outages = MeasuredOutages(
        settings=OutageSettings(
            patterns=["orchestrated"], participant="pagos", seconds=6, rate=5, seed=1
        ),
        outages=[
            outage_of(
                pattern="orchestrated",
                samples=[sample(intended=n / 5, latency=max(9.5 - n / 5, 0.1)) for n in range(60)],
                down=away,
            )
        ],
        audit=Audit(is_clean=is_clean, output=""),
    )
    (tmp_path / "outage.json").write_text(json.dumps(as_figures(finished=outages)))
    text = page.draw(folder=tmp_path).read_text()
    assert ("When pagos is away" in text) is is_clean
    assert not _parsed(text).wrong


def test_pair_without_intervals_is_shown_to_have_none(folder: Path, tmp_path: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    for verdict in report["verdicts"]:
        verdict.update(ratio=None, difference=None, decision="undecided", better="", why="too few")
    (tmp_path / "report.json").write_text(json.dumps(report))
    shutil.copy(folder / "samples.csv", tmp_path)
    text = page.draw(folder=tmp_path).read_text()
    assert "Orchestrated and choreographed: not decided (too few)." in text
    assert "no interval" not in text


def test_floor_wins_nothing(folder: Path, tmp_path: Path) -> None:
    report = (folder / "report.json").read_text().replace('"choreographed"', '"monolith"')
    (tmp_path / "report.json").write_text(report)
    samples = (folder / "samples.csv").read_text().replace("choreographed", "monolith")
    (tmp_path / "samples.csv").write_text(samples)
    assert "<h1>This run decides none" in page.draw(folder=tmp_path).read_text()


def test_pattern_that_only_loses_is_named_where_no_pattern_wins(
    folder: Path, tmp_path: Path
) -> None:
    report = json.loads((folder / "report.json").read_text())
    undecided = {"figure": "p50 at light load", "first": "orchestrated", "second": "choreographed"}
    lost = {**undecided, "second": "orchestrated_messaging", "decision": "differs"}
    report["verdicts"] = [
        undecided,
        {**lost, "better": "orchestrated"},
        {**lost, "first": "choreographed", "better": "choreographed"},
    ]
    (tmp_path / "report.json").write_text(json.dumps(report))
    shutil.copy(folder / "samples.csv", tmp_path)
    (title,) = re.findall("<h1>(.+)</h1>", page.draw(folder=tmp_path).read_text())
    assert title.startswith("No pattern is ahead of all others")
    assert title.endswith("is behind all others in 1 of the 4")


def test_words_of_the_environment_are_escaped(folder: Path, tmp_path: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    report["environment"]["machine"] = "<img src=x onerror=alert(1)>"
    (tmp_path / "report.json").write_text(json.dumps(report))
    shutil.copy(folder / "samples.csv", tmp_path)
    assert "<img" not in page.draw(folder=tmp_path).read_text()


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match=r"is no stored run: it has no report\.json"):
        page.draw(folder=tmp_path)


@pytest.mark.parametrize("content", [b"{}", b"no json", b'{"figures": 1}'])
def test_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(NotARun, match="can't be read as a run"):
        stored.read(folder=tmp_path)


def test_samples_that_are_none_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "report.json", tmp_path)
    (tmp_path / "samples.csv").write_text("a,b\n1,2\n")
    with pytest.raises(NotARun, match="can't be read"):
        page.draw(folder=tmp_path)


def test_page_of_another_saga_names_that_saga(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, settings=replace(SETTINGS, saga="shipment"))
    drawn = (folder / "report.html").read_text()
    assert "<title>The same shipment, side by side" in drawn
    assert "What a shipment costs" in drawn
    assert "checkout" not in drawn
