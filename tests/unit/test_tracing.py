"""A process traces only with an endpoint, and then names the saga in its trace and its log.

Each test starts a process: OpenTelemetry can't be set up twice in one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.traces import Receiver, traceparent

ROOT = Path(__file__).resolve().parents[2]
BEGIN = """
import logging, sys
import django
django.setup()
from contracts.saga import Command
from participant import tracing
tracing.start(service="pagos")

def request(header, saga_id="s1"):
    return tracing.begin_request(
        name="POST /x", header=header, saga="checkout", saga_id=saga_id, pattern="choreographed"
    )
"""


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as running:
        yield running


def run(script, *arguments, **environment):
    """What it writes: its lines, and its log as objects."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script, *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), [json.loads(line) for line in done.stderr.splitlines()]


def test_nothing_is_imported_or_changed_without_an_endpoint():
    _, header = traceparent()
    script = """
command = Command(saga_id="s1", traceparent=sys.argv[1])
with tracing.continued("do x", [command], kind="server") as (given, _):
    print(given == [command])
print(tracing.is_on(), any(name.startswith(("opentelemetry", "google")) for name in sys.modules))
"""
    assert run(script, header)[0] == ["True", "False", "False"]


def test_span_continues_its_callers_trace_and_records_a_fault(receiver):
    trace_id, header = traceparent()
    script = """
sent = request(sys.argv[1])
try:
    with tracing.continued("do x", [Command(saga_id="s1", traceparent=sent)], kind="server") as it:
        print(it[0][0].traceparent)
        raise ValueError("no")
except ValueError:
    tracing.end_request(status=500)
"""
    ((sent,), _) = run(script, header, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    step, request = receiver.trace(trace_id)
    assert (request.name, request.parent, request.service) == (
        "POST /x",
        header.split("-")[2],
        "pagos",
    )
    assert (step.name, step.parent, step.is_failed) == ("do x", request.id, True)
    assert sent == f"00-{trace_id}-{step.id}-01"


def test_log_lines_name_the_saga_and_its_trace(receiver):
    trace_id, header = traceparent()
    script = """
log = logging.getLogger("pagos")
sent = request(sys.argv[1])
log.warning("of the request")
tracing.end_request(status=202)
log.warning("of nothing")
log.warning("of the saga", extra={"saga_id": "s1"})
with tracing.continued("do x", [Command(saga_id="s1", traceparent=sent)], kind="server"):
    log.warning("of the step")
"""
    _, lines = run(script, header, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    by_message = {line["message"]: (line.get("saga_id"), line.get("trace_id")) for line in lines}
    assert by_message == {
        "of the request": ("s1", trace_id),
        "of nothing": (None, None),
        "of the saga": ("s1", trace_id),
        "of the step": ("s1", trace_id),
    }


def test_one_saga_in_a_hundred_is_sampled_where_its_caller_says_nothing(receiver):
    """Of 2,000 some 20: none, or more than 60, would be once in ages."""
    script = """
for number in range(int(sys.argv[2])):
    print(request("", f"s{number}")[-2:])
    tracing.end_request(status=202)
"""
    here = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    flags, _ = run(script, "", "2000", **here)
    assert 0 < sum(int(flag, 16) % 2 for flag in flags) <= 60
    flags, _ = run(script, "", "50", OTEL_TRACES_SAMPLER_ARG="1.0", **here)
    assert sum(int(flag, 16) % 2 for flag in flags) == 50
