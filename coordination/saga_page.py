"""A saga's page in the admin: a timeline of its steps, and links to its rows in other services."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from contracts.saga import SAGAS
from contracts.states import SagaState, StepState, StepStatus
from coordination.models import AcceptedSaga

LONGEST_RESULT = 300
_BAD = (StepStatus.FAILED, StepStatus.COMPENSATED)
_HEAD = ("step", "status", "after ms", "took ms", "", "retries", "result")


def timeline(state: SagaState) -> SafeString:
    """A row per step: its start, in milliseconds after the saga's, and its duration, which includes
    its undo if it was undone.
    """
    times = [time for step in state.steps for time in (step.started_at, step.finished_at) if time]
    last = max([*times, state.finished_at or state.started_at])
    whole = _milliseconds(state.started_at, last) or 1.0
    head = format_html_join("", "<th>{}</th>", ((name,) for name in _HEAD))
    rows = format_html_join(
        "", "{}", ((_row(step, state.started_at, whole),) for step in state.steps)
    )
    return format_html(
        '<div class="saga-timeline"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        head,
        rows,
    )


_THINNEST = 0.5
"""Percent of the width, so that the shortest steps are visible."""


def _row(step: StepState, began: datetime, whole: float) -> SafeString:
    after = took = None
    bar = SafeString("")
    if step.started_at:
        after = _milliseconds(began, step.started_at)
        took = _milliseconds(step.started_at, step.finished_at) if step.finished_at else None
        left = min(max(after / whole * 100, 0.0), 100.0)
        bar = format_html(
            '<svg class="bar" aria-hidden="true">'
            '<rect class="{}" x="{}%" width="{}%" height="100%"/></svg>',
            "bad" if step.status in _BAD else "",
            f"{left:.1f}",
            f"{max(min((took or 0.0) / whole * 100, 100 - left), _THINNEST):.1f}",
        )
    return format_html(
        '<tr><th>{}</th><td>{}</td><td class="number">{}</td><td class="number">{}</td><td>{}</td>'
        '<td class="number">{}</td><td class="text">{}</td></tr>',
        step.step_name,
        step.status,
        _told(after),
        _told(took),
        bar,
        step.retry_count or "",
        step.error or _result(step),
    )


def _result(step: StepState) -> str:
    """The beginning of the result, on one line."""
    found = msgspec.json.encode(step.response_data).decode() if step.response_data else ""
    return Truncator(found).chars(LONGEST_RESULT)


def _milliseconds(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds() * 1000


def _told(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:,.1f}"


def links(state: SagaState, *, coordinator: str, traceparent: str) -> SafeString:
    """By service, links to the admin's lists of its rows of this saga; and the saga's trace id."""
    saga = SAGAS.get(state.saga)
    services = [saga.owner, *(step.service for step in saga.steps)] if saga else []
    lines = [
        (service, _joined(_found(service, state.saga_id)))
        for service in dict.fromkeys([*services, coordinator])
    ]
    trace = traceparent.split("-")[1] if traceparent.count("-") == 3 else "none"
    lines.append(("trace id", format_html("{} (also in the services' logs)", trace)))
    return format_html_join("", "<div><strong>{}</strong>: {}</div>", lines)


def _found(service: str, saga_id: str) -> Iterator[tuple[str, str]]:
    """URL and name of each list that can be searched for a saga, and of its page at the owner."""
    for model, shown in admin.site._registry.items():
        if model._meta.app_label != service:
            continue
        names = f"admin:{service}_{model._meta.model_name}"
        name = str(model._meta.verbose_name_plural)
        if issubclass(model, AcceptedSaga):
            url = reverse(f"{names}_change", args=[saga_id])
            yield url, f"this {model._meta.verbose_name}"
        elif any("saga_id" in field for field in shown.search_fields) and not _is_its_own(model):
            yield f"{reverse(f'{names}_changelist')}?q={quote(saga_id, safe='')}", name


def _is_its_own(model: Any) -> bool:
    return bool(model._meta.pk.name == "saga_id")


def _joined(found: Iterable[tuple[str, str]]) -> SafeString:
    return format_html_join(", ", '<a href="{}">{}</a>', found)
