"""The doors of a service's decisions: an inbox, and the verdicts of people.

GET  /decisions                    the decisions: `?decided_by=&status=open`, in pages
POST /decisions/<saga_id>/<step>   {"verdict": "yes" or "no", "by", "reason", "data"}
"""

from typing import Annotated, Any, Literal, TypedDict

import msgspec
from django.apps import apps
from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds, refusals
from contracts.bounds import Time
from contracts.doors import OPS_ACT, OPS_READ, SHOP, door
from contracts.outcomes import Outcome
from contracts.saga import CUSTOMER
from coordination.decisions import give, person_of
from httpapi import identity, pages, problems
from httpapi.json import answer
from httpapi.steps import made
from participant import decisions, failpoints
from participant.decisions import GivenVerdict, RequestedDecision


class VerdictGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A person's verdict on a step that waits. `by`: the caller, by default. `data`: what the step
    needs with a yes.
    """

    verdict: Literal["yes", "no"]
    by: Annotated[str, msgspec.Meta(max_length=150)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    data: dict[str, Any] = {}


class Inbox(pages.PageRequest, frozen=True, kw_only=True):
    """Which decisions to list: `open`, that a person may decide; `waiting`, all that are not
    closed; `closed`; or all.
    """

    status: Literal["open", "waiting", "closed", "all"] = "open"
    decided_by: str = ""
    saga: str = ""


class DecisionShown(TypedDict):
    """A decision. `until`: when it is overdue; `url`: where to POST the verdict; `by`: who
    decided.
    """

    saga_id: str
    saga: str
    step: str
    decided_by: str
    opened_at: Time
    until: Time
    verdict: str
    by: str
    reason: str
    closed_at: Time | None
    url: str


class ListedDecision(DecisionShown):
    """A decision in a list. `command`: of the step."""

    decided_at: Time | None
    command: dict[str, Any]


class DecidedShown(DecisionShown):
    """A decision with the step's outcome."""

    outcome: Outcome


class _View(APIView):
    service: str


class InboxView(_View):
    """GET: the decisions of this service, the newest first, in pages."""

    @door(OPS_READ, takes=Inbox, gives={200: pages.Page[ListedDecision]})
    def get(self, request: Request) -> HttpResponse:
        wanted = bounds.of_query(request.query_params, Inbox, but_empty=True)
        found = apps.get_model(self.service, "Decision")._default_manager.order_by("-id")
        match wanted.status:
            case "open":
                found = found.filter(closed_at=None, verdict="")
            case "waiting":
                found = found.filter(closed_at=None)
            case "closed":
                found = found.filter(closed_at__isnull=False)
        named = {"decided_by": wanted.decided_by, "saga": wanted.saga}
        found = found.filter(**{name: value for name, value in named.items() if value})
        page = pages.page(request=request, found=found, wanted=wanted)
        results = [shown(self.service, row) for row in page.rows]
        return answer(page.answer(results=results))


class VerdictView(_View):
    """POST: a person's verdict: 200 with the decision and the step's outcome, or 409. If the
    customer decides a step, a yes of anybody else is refused: 403.
    """

    @door(
        SHOP,
        OPS_ACT,
        takes=VerdictGiven,
        gives={200: DecidedShown},
        refuses={409: (refusals.ALREADY_DECIDED, refusals.DECISION_CLOSED)},
    )
    def post(self, request: Request, saga_id: str, step: str) -> HttpResponse:
        wanted = msgspec.convert(request.data or {}, VerdictGiven)
        principal = identity.of(request)
        asked = decisions.find(service=self.service, saga_id=saga_id, step=step)
        is_customer = (
            asked is not None and person_of(asked) == CUSTOMER and _user_of(asked) == principal.sub
        )
        if identity.owner(request) is not None and not is_customer:
            raise problems.unknown("decision", f"{saga_id}/{step}")
        given = GivenVerdict(
            saga_id=saga_id,
            step=step,
            word=wanted.verdict,
            by=principal.named(wanted.by, field="by"),
            reason=wanted.reason,
            data=wanted.data,
        )
        asked, outcome = give(
            service=self.service, given=given, is_customer=is_customer or principal.is_demo
        )
        failpoints.reach("decisions.before_reply")
        return answer({**_fields(self.service, asked), "outcome": outcome})


def _user_of(asked: RequestedDecision) -> str:
    """The user whose saga it is; empty: no user in particular."""
    command: dict[str, Any] = msgspec.json.decode(asked.command)
    return str(command.get("user_id", ""))


def urls(*, service: str) -> list[URLPattern]:
    """The paths of a service's decisions."""
    return [
        path("decisions", made(InboxView, service=service)),
        path("decisions/<str:saga_id>/<str:step>", made(VerdictView, service=service)),
    ]


def shown(service: str, row: Any) -> dict[str, Any]:
    """A row of the table, as lists answer it."""
    return {**_fields(service, row), "decided_at": row.decided_at, "command": row.command}


def _fields(service: str, row: Any) -> dict[str, Any]:
    named = ("saga_id", "saga", "step", "decided_by", "opened_at", "until", "verdict", "by")
    fields = {name: getattr(row, name) for name in (*named, "reason", "closed_at")}
    return {**fields, "url": decisions.url_of(service=service, saga_id=row.saga_id, step=row.step)}
