"""Traces, by OpenTelemetry: off, and OpenTelemetry is not imported, unless
OTEL_EXPORTER_OTLP_ENDPOINT is set. Then one trace per saga: the shopper's request, and below it all
work of all services.

Commands, contexts and events carry the `traceparent` of the span that sent them
(https://www.w3.org/TR/trace-context/). Code that takes a list of them begins a span for each that
is sampled, in its own saga's trace; the spans of one transaction or call last equally long, and
link to the first of them. For items that are not sampled only their flags are read.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import msgspec

from contracts.bounds import Traceparent
from contracts.saga import is_sampled

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
DEFAULTS = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
"""One saga in a hundred, and each saga that its caller samples."""
MOST_KNOWN = 10_000
"""Sagas whose trace ids a process remembers, for its log."""

_tracer: Any = None
_trace_of: dict[str, str] = {}
"""By saga id; sampled sagas only."""


class Carrier(Protocol):
    """A msgspec.Struct that travels: a Command, a Context, an Event, a Cause."""

    @property
    def saga_id(self) -> str: ...
    @property
    def traceparent(self) -> Any: ...


class Cause(msgspec.Struct, frozen=True):
    """A saga's trace, where nothing else carries it."""

    saga_id: str
    traceparent: Traceparent = ""


T = TypeVar("T", bound=Carrier)
R = TypeVar("R")


class _ThreadContext(threading.local):
    """This thread's work: the span of its request, and its saga, if it works for one only."""

    request: Any = None
    saga_id: str = ""


_here = _ThreadContext()


def start(*, service: str) -> None:
    """Starts tracing in this process, if an endpoint is set; to be called once, at its start."""
    if not os.environ.get(ENDPOINT):
        return
    if "OTEL_TRACES_SAMPLER" not in os.environ:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    global _tracer
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("dueto")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_add_trace)


def is_on() -> bool:
    """Whether this process traces."""
    return _tracer is not None


class Begun:
    """The spans of a list's items, by position."""

    def __init__(self, spans: Mapping[int, Any]) -> None:
        self._spans = spans

    def note(self, results: Sequence[R], word: Callable[[R], str]) -> None:
        """Notes each item's outcome, as a word."""
        for at, span in self._spans.items():
            span.set_attribute("dueto.outcome", word(results[at]))

    def end(self, error: BaseException | None = None) -> None:
        """Ends the spans, with this fault if there is one."""
        for span in self._spans.values():
            if error is not None:
                span.record_exception(error)
                span.set_status(_failed(), str(error)[:200])
            span.end()


_NONE = Begun({})


def begin(
    name: str | Callable[[T], str], items: Sequence[T], *, kind: str, since: int | None = None
) -> tuple[Sequence[T], Begun]:
    """Begins a span for each sampled item; returns the items, the sampled ones with their span's
    traceparent. `kind`: server, client, producer or consumer. `since`: an earlier start, in
    nanoseconds of the epoch.
    """
    if _tracer is None or not any(is_sampled(item.traceparent) for item in items):
        return items, _NONE
    spans: dict[int, Any] = {}
    given = list(items)
    for at, item in enumerate(items):
        if not is_sampled(item.traceparent):
            continue
        span = _span(
            name if isinstance(name, str) else name(item),
            parent=item.traceparent,
            kind=kind,
            since=since,
            first=next(iter(spans.values()), None),
            attributes={
                "dueto.saga_id": item.saga_id,
                "dueto.batch": len(items),
                **({"dueto.redrive": True} if getattr(item, "redrive", False) else {}),
            },
        )
        spans[at] = span
        given[at] = msgspec.structs.replace(item, traceparent=_traceparent(span))  # type: ignore[type-var]
        _know(item.saga_id, span)
    return given, Begun(spans)


@contextmanager
def continued(
    name: str | Callable[[T], str], items: Sequence[T], *, kind: str, since: int | None = None
) -> Iterator[tuple[Sequence[T], Begun]]:
    """As `begin`; the spans end with the block."""
    if _tracer is None:
        yield items, _NONE
        return
    given, begun = begin(name, items, kind=kind, since=since)
    before, _here.saga_id = _here.saga_id, items[0].saga_id if len(items) == 1 else ""
    try:
        yield given, begun
    except BaseException as error:
        begun.end(error)
        raise
    else:
        begun.end()
    finally:
        _here.saga_id = before


def begin_request(*, name: str, header: str, saga: str, saga_id: str, pattern: str) -> str:
    """Begins the span of a request for a saga, in its caller's trace if `header` is a traceparent;
    it ends with the request (`end_request`). Returns the span's traceparent.
    """
    attributes = {"dueto.saga": saga, "dueto.saga_id": saga_id, "dueto.pattern": pattern}
    span = _span(name, parent=header, kind="server", attributes=attributes)
    _here.request, _here.saga_id = span, saga_id
    if span.is_recording():
        _know(saga_id, span)
    return _traceparent(span)


def end_request(*, status: int) -> None:
    """Ends the span of this thread's request."""
    span, _here.request, _here.saga_id = _here.request, None, ""
    if span is not None:
        span.set_attribute("http.response.status_code", status)
        span.end()


def _span(
    name: str,
    *,
    parent: str,
    kind: str,
    attributes: Mapping[str, Any],
    since: int | None = None,
    first: Any = None,
) -> Any:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent})
    return _tracer.start_span(
        name,
        context=context,
        kind=trace.SpanKind[kind.upper()],
        attributes=attributes,
        links=[trace.Link(first.get_span_context())] if first is not None else None,
        start_time=since,
    )


def _traceparent(span: Any) -> str:
    known = span.get_span_context()
    return f"00-{known.trace_id:032x}-{known.span_id:016x}-{int(known.trace_flags):02x}"


def _failed() -> Any:
    from opentelemetry.trace import StatusCode

    return StatusCode.ERROR


def _know(saga_id: str, span: Any) -> None:
    if len(_trace_of) >= MOST_KNOWN:
        _trace_of.clear()
    _trace_of[saga_id] = f"{span.get_span_context().trace_id:032x}"


def _add_trace(record: logging.LogRecord) -> bool:
    """Adds the saga and its trace to a log line."""
    saga_id = getattr(record, "saga_id", "") or _here.saga_id
    if saga_id:
        record.saga_id = saga_id
        if trace_id := _trace_of.get(saga_id):
            record.trace_id = trace_id
    return True
