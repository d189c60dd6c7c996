"""The locustfile for people, run as they run it, against a toy shop."""

import csv
import subprocess
import sys
from pathlib import Path

from tests.integration.loadtests.toy_shop import ToyShop

ROOT = Path(__file__).resolve().parents[3]


def _locust(
    shop_url: str, inventory: str, folder: Path, *options: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, dict[str, str]]]:
    """Runs it for four seconds; what it printed, and its rows by name."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"),
            *("--host", shop_url, "--inventory", inventory, "--users", "2", "--spawn-rate", "2"),
            *("--run-time", "4s", "--csv", str(folder / "rows"), *options),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    path = folder / "rows_stats.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    return ended, {row["Name"]: row for row in rows}


def test_rows_tell_acceptance_and_outcome_of_each_pattern_apart(tmp_path: Path) -> None:
    with ToyShop() as shop:
        ended, rows = _locust(shop.url, shop.url, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert rows.keys() >= {
        "make cart",
        "add item",
        "checkout orchestrated",
        "saga orchestrated",
        "checkout choreographed",
        "saga choreographed",
    }
    assert rows["Aggregated"]["Failure Count"] == "0"


def test_declined_cards_of_the_mix_are_no_failures(tmp_path: Path) -> None:
    options = ("--declined", "1", "--patterns", "choreographed")
    with ToyShop() as shop:
        ended, rows = _locust(shop.url, shop.url, tmp_path, *options)
        cards = {checkout["payment_method"] for checkout in shop.checkouts}
    assert ended.returncode == 0, ended.stderr
    assert cards == {"card_declined"}
    assert rows["Aggregated"]["Failure Count"] == "0"
    assert "checkout orchestrated" not in rows


def test_checkout_that_ends_otherwise_than_it_should_is_a_failure(tmp_path: Path) -> None:
    with ToyShop(ending="failed") as shop:
        ended, rows = _locust(shop.url, shop.url, tmp_path)
    assert ended.returncode == 1
    assert int(rows["saga orchestrated"]["Failure Count"]) > 0
    assert rows["checkout orchestrated"]["Failure Count"] == "0"


def test_shop_that_is_not_there_is_an_error_with_its_address(tmp_path: Path) -> None:
    with ToyShop() as shop:
        url = shop.url
    ended, _ = _locust(url, url, tmp_path)
    assert ended.returncode == 1
    assert f"carrito is not at {url}" in ended.stderr + ended.stdout


def test_wrong_pattern_is_an_error_that_names_those_that_there_are(tmp_path: Path) -> None:
    with ToyShop() as shop:
        ended, _ = _locust(shop.url, shop.url, tmp_path, "--patterns", "nonsense")
    assert ended.returncode == 1
    assert "choose from orchestrated, choreographed" in ended.stderr + ended.stdout


def test_shoppers_come_at_fixed_times_where_a_rate_is_given(tmp_path: Path) -> None:
    path = tmp_path / "arrivals"
    options = ("--rate", "20", "--seconds", "2", "--run-time", "60s", "--arrivals-csv", str(path))
    with ToyShop() as shop:
        ended, rows = _locust(shop.url, shop.url, tmp_path, *options)
    assert ended.returncode == 0, ended.stderr
    arrivals = list(csv.DictReader(path.read_text().splitlines()))
    assert len(arrivals) == len(shop.checkouts) > 0
    assert {(one["task"], one["error"]) for one in arrivals} == {("shop", "")}
    assert rows["shop"]["Failure Count"] == "0"
