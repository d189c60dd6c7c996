"""The pages: now, the sagas, a saga, a race, the stored reports."""

from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from accounts import tokens
from contracts.doors import CATALOGUE_WRITE
from contracts.patterns import PATTERNS
from contracts.saga import SAGAS, Saga, is_sampled
from contracts.states import SagaState, SagaStatus
from dashboard import (
    actions,
    faults,
    figures,
    live,
    progress,
    races,
    records,
    reports,
    store,
    timeline,
)
from dashboard.access import may_operate, operating, watching
from dashboard.store import Filter, SagaRow
from httpapi.client import Unreachable
from participant import sql

SAGA_SECONDS, RACE_SECONDS = 1.0, 0.4
"""The seconds between two renderings of a live page."""


@watching
@require_safe
def now(request: HttpRequest) -> HttpResponse:
    context = {"part": _now(), "live": reverse("dashboard:now-live")}
    return render(request, "dashboard/now.html", context)


@watching
@require_safe
def now_live(request: HttpRequest) -> Any:
    return live.part(request, _now, seconds=figures.REFRESH_SECONDS)


def _now() -> str:
    return render_to_string("dashboard/now_part.html", {"now": figures.now.get()})


@watching
@require_safe
def sagas(request: HttpRequest) -> HttpResponse:
    asked = {name: value for name, value in request.GET.items() if value}
    wanted, problem, page = Filter(), "", store.SagaPage(rows=[])
    try:
        wanted = msgspec.convert(asked, Filter)
        page = store.sagas(wanted)
    except (msgspec.ValidationError, ValueError) as error:
        problem = f"{error}: choose again."
    steps = sorted({step.name for saga in SAGAS.values() for step in saga.steps[1:]})
    kept = {name: str(value) for name, value in asked.items() if name != "before"}
    context = {
        "wanted": wanted,
        "page": page,
        "problem": problem,
        "looked": store.LOOKED_THROUGH,
        "next": urlencode({**kept, "before": page.next}) if page.next else "",
        "first": urlencode(kept),
        "choices": [
            ("saga", "Saga", [(name, name) for name in SAGAS], wanted.saga),
            ("pattern", "Pattern", [(name, name) for name in PATTERNS], wanted.pattern),
            ("status", "Status", _STATUSES, wanted.status),
            ("step", "Step", [(name, name) for name in steps], wanted.step),
            ("age", "Started", list(store.AGES.items()), wanted.age),
        ],
    }
    return render(request, "dashboard/sagas.html", context, status=400 if problem else 200)


_STATUSES = [
    (store.OPEN, "in flight"),
    (store.WAITING, "waiting for a person"),
    *((status.value, status.value) for status in SagaStatus),
]


@watching
@require_safe
def saga(request: HttpRequest, saga_id: str) -> HttpResponse:
    row = store.saga(saga_id)
    if row is None:
        return render(request, "dashboard/unknown.html", {"saga_id": saga_id}, status=404)
    story = _story(row, request.user)
    where = reverse("dashboard:saga-live", args=[saga_id])
    context = {
        **story,
        "part": render_to_string("dashboard/saga_part.html", story),
        "live": "" if row.finished_at else where,
        "offered": _offered(story["state"]) if may_operate(request.user) else [],
        "decisions": _open_decisions(story) if may_operate(request.user) else [],
        "admin": _admin_of(row),
        "trace": _trace_of(story["accepted"]),
    }
    return render(request, "dashboard/saga.html", context)


@watching
@require_safe
def saga_live(request: HttpRequest, saga_id: str) -> Any:
    if store.saga(saga_id) is None:
        raise Http404

    def part() -> str:
        row = store.saga(saga_id)
        story = _story(row, request.user) if row else None
        return render_to_string("dashboard/saga_part.html", story) if story else ""

    return live.part(request, part, seconds=SAGA_SECONDS)


def _story(row: SagaRow, person: Any) -> dict[str, Any]:
    """All that the page shows of a saga, also if its coordinator does not answer."""
    definition = SAGAS.get(row.saga) or Saga(
        name=row.saga, subject="subject", steps=(), abort="", give_back="", door=""
    )
    state, problem = None, ""
    try:
        state = actions.state_of(row.pattern, row.saga_id, person=person)
    except (Unreachable, KeyError) as error:
        problem = sql.category(error)
    noted = records.noted(definition, [row.saga_id])
    asked = records.asked(definition, row.saga_id)
    accepted = records.accepted([row.saga_id]).get(row.saga_id)
    nodes = progress.flow(definition, state, noted)
    return {
        "row": row,
        "state": state,
        "problem": problem,
        "accepted": accepted,
        "subject": definition.subject,
        "nodes": nodes,
        "height": progress.height_of(nodes),
        "asked": asked,
        "failed": records.failed_messages(definition, row.saga_id),
        "entries": timeline.timeline(
            definition,
            accepted=accepted,
            events=state.events if state and isinstance(state.events, list) else [],
            calls=records.calls(row.saga_id),
            noted=noted,
            asked=asked,
            interventions=records.interventions(row.pattern, row.saga_id),
        ),
    }


def _offered(state: SagaState | None) -> list[tuple[str, str]]:
    return [(name, actions.ACTIONS[name]) for name in actions.offered(state)] if state else []


def _open_decisions(story: dict[str, Any]) -> list[Any]:
    """The open decisions of people, by the saga's definition."""
    definition = SAGAS.get(story["row"].saga)
    people = {step.name: step.decided_by for step in definition.steps} if definition else {}
    return [row for row in story["asked"] if not row.closed_at and people.get(row.step)]


def _admin_of(row: SagaRow) -> str:
    service = PATTERNS[row.pattern].coordinator if row.pattern in PATTERNS else ""
    return reverse(f"admin:{service}_saga_change", args=[row.saga_id]) if service else ""


def _trace_of(accepted: Any) -> str:
    """The URL of the saga's trace, if it is sampled and TRACE_URL is set."""
    traceparent = accepted.traceparent or "" if accepted else ""
    if not settings.TRACE_URL or not is_sampled(traceparent):
        return ""
    return str(settings.TRACE_URL).replace("{trace_id}", quote(traceparent.split("-")[1]))


@operating
@require_POST
def act(request: HttpRequest, saga_id: str) -> HttpResponse:
    """Does an action, by the API and in the name of the logged-in person."""
    row = store.saga(saga_id)
    if row is None or row.pattern not in PATTERNS:
        raise Http404
    action, reason = request.POST.get("action", ""), request.POST.get("reason", "").strip()
    if not reason:
        messages.error(request, "Nothing was done: give a reason for the record.")
    else:
        step, data = request.POST.get("step", ""), request.POST.get("data", "")
        refused = actions.do(row, action, person=request.user, reason=reason, step=step, data=data)
        if refused:
            messages.error(request, f"Refused ({refused.code}): {refused.detail}")
        else:
            messages.success(request, f"{action}: requested.")
    return redirect("dashboard:saga", saga_id=saga_id)


@watching
@require_safe
def race(request: HttpRequest) -> HttpResponse:
    ids, is_slow = _asked(request)
    query = urlencode({"saga": ids}, doseq=True)
    context = {
        "patterns": list(PATTERNS),
        "can_start": may_operate(request.user),
        "can_make": tokens.may(request.user, CATALOGUE_WRITE),
        "breakable": faults.services() if faults.is_allowed(request) else [],
        "stop_seconds": faults.STOP_SECONDS,
        "part": _race(ids, is_slow=is_slow) if ids else "",
        "live": f"{reverse('dashboard:race-live')}?{query}{'&slowly=1' if is_slow else ''}"
        if ids
        else "",
        "query": query,
        "ids": ids,
        "is_slow": is_slow,
        "slower": progress.SLOWER,
    }
    return render(request, "dashboard/race.html", context)


@watching
@require_safe
def race_live(request: HttpRequest) -> Any:
    ids, is_slow = _asked(request)
    return live.part(request, lambda: _race(ids, is_slow=is_slow), seconds=RACE_SECONDS)


def _asked(request: HttpRequest) -> tuple[list[str], bool]:
    """The ids of the racing sagas, and whether the race is shown again slowly."""
    return request.GET.getlist("saga")[: len(PATTERNS)], "slowly" in request.GET


def _race(ids: list[str], *, is_slow: bool = False) -> str:
    lanes = races.lanes(ids)
    whole = progress.whole(lanes)
    context = {
        "lanes": lanes,
        "steps": list(progress.side_by_side(SAGAS[races.SAGA], lanes)),
        "whole": whole,
        "slowly": whole * progress.SLOWER if is_slow else 0,
    }
    return render_to_string("dashboard/race_part.html", context)


@operating
@require_POST
def break_it(request: HttpRequest) -> HttpResponse:
    """Stops a service for some seconds, or kills its worker: only on this machine."""
    if not faults.is_allowed(request):
        raise PermissionDenied
    service, what = request.POST.get("service", ""), request.POST.get("what", "")
    act = {"stop": faults.stop, "kill": faults.kill}.get(what)
    if act and service in faults.services() and act(service):
        done = f"{service} is stopped" if what == "stop" else f"{service}.worker was killed"
        messages.success(request, f"{done}; it goes on by itself.")
    else:
        messages.error(request, f"{service} has no such process here.")
    back = urlencode({"saga": request.POST.getlist("saga")}, doseq=True)
    return redirect(f"{reverse('dashboard:race')}?{back}")


@operating
@require_POST
def start_race(request: HttpRequest) -> HttpResponse:
    try:
        ids = races.start(
            patterns=request.POST.getlist("pattern"),
            about=request.POST.get("about", ""),
            person=request.user,
        )
    except races.NotStarted as error:
        messages.error(request, str(error))
        return redirect("dashboard:race")
    return redirect(f"{reverse('dashboard:race')}?{urlencode({'saga': ids}, doseq=True)}")


@watching
@require_safe
def list_reports(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard/reports.html", {"reports": reports.stored()})


@watching
@require_safe
def report(request: HttpRequest, name: str) -> HttpResponse:
    found = reports.find(name)
    if found is None:
        raise Http404
    return render(request, "dashboard/report.html", {"report": found})


@watching
@require_safe
@xframe_options_sameorigin
def report_page(request: HttpRequest, name: str) -> FileResponse:
    """The report's own page, for the frame that shows it."""
    found = reports.find(name)
    if found is None:
        raise Http404
    response = FileResponse(found.path.open("rb"), content_type="text/html; charset=utf-8")
    response["Content-Security-Policy"] = reports.POLICY
    return response
