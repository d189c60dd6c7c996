"""The locustfile for people, run as they run it, against a toy shop."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import urllib3

from stack.ports import free_ports
from tests.integration.loadtests.toy_shop import ToyShop
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]


def _locust(
    shop_url: str, inventory: str, folder: Path, *options: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, dict[str, str]]]:
    """Runs it for four seconds; returns its output, and its rows by name."""
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
    assert f"carrito does not answer at {url}" in ended.stderr + ended.stdout


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
    assert {(arrival["task"], arrival["error"]) for arrival in arrivals} == {("shop", "")}
    assert rows["shop"]["Failure Count"] == "0"


@contextmanager
def _page(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Starts Locust with its page, without further options; gives the page's URL."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py"]
    with subprocess.Popen(
        [*command, "--web-port", str(port), *options], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: _is_answering(url), what="Locust's page answers")
            yield process, url
        finally:
            process.terminate()


def _is_answering(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_page_is_on_this_machine_alone_and_aims_at_no_other() -> None:
    with _page() as (process, url):
        listening = psutil.Process(process.pid).net_connections()
        refused = _swarm(url, host="http://192.0.2.1:3000")
        foreign = _swarm(url, origin="http://evil.example", host="http://127.0.0.1:1")
        # There is no shop, so no test starts; but the page has let it in.
        own = _swarm(url, origin=url, host="http://127.0.0.1:1")
    assert {connection.laddr.ip for connection in listening if connection.status == "LISTEN"} == {
        "127.0.0.1"
    }
    assert (refused.status, foreign.status) == (400, 403)
    assert "is another machine: name it on the command line" in refused.data.decode()
    assert own.status == 200


def _swarm(url: str, *, origin: str = "", host: str) -> urllib3.BaseHTTPResponse:
    fields = {"user_count": "1", "spawn_rate": "1", "host": host}
    headers = {"Origin": origin} if origin else {}
    return urllib3.PoolManager().request_encode_body(
        "POST", f"{url}/swarm", fields=fields, headers=headers, encode_multipart=False
    )


def test_what_the_command_line_names_may_be_loaded(tmp_path: Path) -> None:
    url = "http://192.0.2.1:9"
    ended, _ = _locust(url, url, tmp_path)
    assert "is another machine" not in ended.stderr + ended.stdout
    assert f"carrito does not answer at {url}" in ended.stderr + ended.stdout
