"""Asks the services how they are."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import urllib3

OK = 200
PARTS = ("database", "worker", "broker")
"""What a service can't start without, as its health page names it."""
_SECONDS = 5.0


def ask(url: str, path: str, *, seconds: float = _SECONDS) -> tuple[int, dict[str, Any]]:
    """Status and body of a health page; status 0 and the reason when no such page answers."""
    try:
        answer = urllib3.request(
            "GET", url + path, headers={"Connection": "close"}, timeout=seconds, retries=False
        )
        return answer.status, msgspec.json.decode(answer.data, type=dict[str, Any])
    except (urllib3.exceptions.HTTPError, msgspec.DecodeError) as error:
        return 0, {"error": str(error)}


def ask_all(urls: Mapping[str, str], *, seconds: float) -> dict[str, tuple[int, dict[str, Any]]]:
    """The health page of each, by name, all asked at the same time."""
    with ThreadPoolExecutor(max(len(urls), 1)) as threads:
        asked = {
            name: threads.submit(ask, url, "/health", seconds=seconds) for name, url in urls.items()
        }
        return {name: answer.result() for name, answer in asked.items()}


def complaint(url: str, *, worker_pid: int | None) -> str | None:
    """Why a service is not ready yet, or None when it and its worker are.

    Sagas that stand are no reason: they may have stood before it was started, and need it to go on.
    """
    status, body = ask(url, "/health/ready")
    if status != OK:
        return _said("/health/ready", status, body)
    status, body = ask(url, "/health")
    down = [name for name in PARTS if body.get(name, {}).get("status", "up") != "up"]
    if status == 0 or down or "database" not in body:
        return _said("/health", status, body)
    # For some seconds after a crash the last sign of life of the one before still looks fresh.
    if worker_pid is not None and body.get("worker", {}).get("pid") != worker_pid:
        return f"its worker {worker_pid} has given no sign of life yet"
    return None


def _said(path: str, status: int, body: dict[str, Any]) -> str:
    if status == 0:
        return str(body["error"])
    stands = [one["what"] for one in body.get("attention", []) if one["level"] == "unavailable"]
    return f"GET {path} answers {status}: {'; '.join(stands) or json.dumps(body)[:400]}"
