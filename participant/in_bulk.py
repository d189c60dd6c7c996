"""Actions on many rows of an admin list: their progress from request to request, the page that asks
for a confirmation, and the page that continues by itself.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from django.core.exceptions import SuspiciousOperation
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest

from contracts.outcomes import Refused

LONGEST_REASON = 1_000
PROGRESS, REASON = "bulk", "reason"
"""Form fields of the request."""
_NOT_PASSED_ON = ("csrfmiddlewaretoken", PROGRESS)


class BulkProgress(msgspec.Struct, kw_only=True):
    """The progress of an action. `newest`: the last of the rows that were there when it began."""

    total: int
    newest: str
    last: Any = None
    done: int = 0
    refused: dict[str, int] = {}
    detail: str = ""

    @property
    def reached(self) -> int:
        return self.done + sum(self.refused.values())

    def count(self, outcomes: Sequence[Refused | None]) -> None:
        """Counts the results of some rows: None for done, or the refusal."""
        for refused in outcomes:
            if refused is None:
                self.done += 1
            else:
                self.refused[refused.code] = self.refused.get(refused.code, 0) + 1
                self.detail = refused.detail

    def told(self, done: str) -> str:
        """`812 on their way, 13 refused: 9 already_undone, 4 past_pivot.` A single refusal is shown
        with its detail.
        """
        if not self.refused:
            return f"{self.done} {done}."
        by_number = sorted(self.refused.items(), key=lambda counted: (-counted[1], counted[0]))
        why = ", ".join(f"{number} {code}" for code, number in by_number)
        number = sum(self.refused.values())
        told = f"{self.done} {done}, {number} refused: {why}."
        return f"{told} {self.detail}".rstrip() if number == 1 else told


GOES_ON = """
{% extends "admin/base_site.html" %}{% load static %}
{% block content %}
<p>{{ progress.reached }} of {{ progress.total }}: {{ told }}</p>
<p><progress max="{{ progress.total }}" value="{{ progress.reached }}"></progress></p>
<form method="post" id="rest">{% csrf_token %}
{% for name, value in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<button>Go on with the rest</button> <a href="{{ request.get_full_path }}">Stop</a>
</form>
<script src="{% static 'coordination/goes-on.js' %}"></script>
{% endblock %}
"""


ASKS_AGAIN = """
{% extends "admin/base_site.html" %}{% load static %}
{% block extrastyle %}{{ block.super }}
<link rel="stylesheet" href="{% static 'coordination/admin.css' %}">{% endblock %}
{% block content %}
<ul>{% for fact in facts %}<li>{{ fact }}</li>{% endfor %}</ul>
<form method="post" class="asks-again">{% csrf_token %}
{% for name, value in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}
{% if is_blank %}<p class="errornote">Say why.</p>{% endif %}
<p><label for="reason">Why: it is stored with your name, and shown.</label></p>
<p><textarea id="reason" name="reason" rows="3" maxlength="{{ longest }}" required
 autofocus></textarea></p>
<p><input type="submit" value="{{ does }}">
<a href="{{ request.get_full_path }}">No, go back</a></p>
</form>
{% endblock %}
"""


def reason_of(request: HttpRequest) -> str:
    """The reason that a person gives for an action; empty if there is none."""
    return str(request.POST.get(REASON, "")).strip()[:LONGEST_REASON]


def beginning(queryset: QuerySet[Any], arrives: str) -> BulkProgress:
    """The progress of an action on these rows before its start."""
    found = queryset.order_by().aggregate(total=Count("pk"), newest=Max(arrives))
    newest = found["newest"]
    text = newest.isoformat() if hasattr(newest, "isoformat") else str(newest)
    return BulkProgress(total=found["total"], newest=text)


def progress_of(request: HttpRequest) -> BulkProgress | None:
    """The progress that the request before this one has sent on. Raises SuspiciousOperation."""
    text = request.POST.get(PROGRESS)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=BulkProgress)
    except msgspec.MsgspecError as error:
        raise SuspiciousOperation("The progress of the action can't be read.") from error


def next_keys(
    queryset: QuerySet[Any], progress: BulkProgress, arrives: str, limit: int
) -> list[Any]:
    """The keys of the next rows."""
    if not progress.total:
        return []
    found = queryset.order_by("pk").filter(**{f"{arrives}__lte": progress.newest})
    if progress.last is not None:
        found = found.filter(pk__gt=progress.last)
    return list(found.values_list("pk", flat=True)[:limit])


def passed_on(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """The fields that repeat the same action."""
    for name, values in request.POST.lists():
        if name not in _NOT_PASSED_ON:
            yield from ((name, str(value)) for value in values)
