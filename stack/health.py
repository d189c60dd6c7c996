"""Asks the services how they are."""

import http.client
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

OK = 200
PARTS = ("database", "worker", "broker")
"""What a service can't start without, as its health page names it."""
_SECONDS = 5.0


def ask(url: str, path: str, *, seconds: float = _SECONDS) -> tuple[int, dict[str, Any]]:
    """Status and body of a health page; status 0 and the reason when nothing answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, _object(answer.read())
    except (OSError, http.client.HTTPException) as error:
        return 0, {"error": str(error) or type(error).__name__}
    finally:
        connection.close()


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
    web = complaint_about(url, "/health/ready")
    return web or _complaint_about_parts(url, worker_pid)


def _complaint_about_parts(url: str, worker_pid: int | None) -> str | None:
    status, body = ask(url, "/health")
    down = [name for name in PARTS if body.get(name, {}).get("status", "up") != "up"]
    if status == 0 or down or "database" not in body:
        return _said("/health", status, body)
    return _not_seen(body, worker_pid)


def complaint_about(url: str, path: str) -> str | None:
    """What a health page complains of, or None."""
    status, body = ask(url, path)
    return None if status == OK else _said(path, status, body)


def _not_seen(body: dict[str, Any], worker_pid: int | None) -> str | None:
    """For some seconds after a crash the last sign of life of the one before still looks fresh."""
    if worker_pid is not None and body.get("worker", {}).get("pid") != worker_pid:
        return f"its worker {worker_pid} has given no sign of life yet"
    return None


def _said(path: str, status: int, body: dict[str, Any]) -> str:
    if status == 0:
        return str(body["error"])
    stands = [one["what"] for one in body.get("attention", []) if one["level"] == "unavailable"]
    return f"GET {path} answers {status}: {'; '.join(stands) or json.dumps(body)[:400]}"


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {"text": raw[:200].decode(errors="replace")}
    return found if isinstance(found, dict) else {"value": found}
