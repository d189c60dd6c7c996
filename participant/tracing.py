"""Traces, by OpenTelemetry: off, and nothing of it imported, unless OTEL_EXPORTER_OTLP_ENDPOINT is
set. Then one trace a saga: its shopper's request, and below it all that follows, whoever does it.

What travels (a command, a saga's context, an event) carries the `traceparent` of the span that sent
it (https://www.w3.org/TR/trace-context/). What takes a list of them begins a span for each that is
sampled, in its own saga's trace; those of one transaction or call last alike, and have links to
the first of them. What is not sampled costs a look at its flags.
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
"""One saga in a hundred, and each that its caller samples."""
MOST_KNOWN = 10_000
"""Sagas whose traces a process knows, for its log."""

_tracer: Any = None
_trace_of: dict[str, str] = {}
"""By saga id; of those that are sampled."""


class Carrier(Protocol):
    """A msgspec.Struct that travels: a Command, a Context, an Event, a Cause."""

    @property
    def saga_id(self) -> str: ...
    @property
    def traceparent(self) -> Any: ...


class Cause(msgspec.Struct, frozen=True):
    """What is known of a saga's trace, where nothing travels."""

    saga_id: str
    traceparent: Traceparent = ""


T = TypeVar("T", bound=Carrier)
R = TypeVar("R")


class _ThreadContext(threading.local):
    """What this thread works on: the span of its request, and the one saga that it is about."""

    request: Any = None
    saga_id: str = ""


_here = _ThreadContext()


def start(*, service: str) -> None:
    """Has this process trace, if it is told where to send that; once, before it works."""
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
    """Spans of a list, by their places in it."""

    def __init__(self, spans: Mapping[int, Any]) -> None:
        self._spans = spans

    def note(self, results: Sequence[R], word: Callable[[R], str]) -> None:
        """What came of each, in a word."""
        for at, span in self._spans.items():
            span.set_attribute("dueto.outcome", word(results[at]))

    def end(self, error: BaseException | None = None) -> None:
        """They end now, with this fault if there is one."""
        for span in self._spans.values():
            if error is not None:
                span.record_exception(error)
                span.set_status(_failed(), str(error)[:200])
            span.end()


_NONE = Begun({})


def begin(
    name: str | Callable[[T], str], items: Sequence[T], *, kind: str, since: int | None = None
) -> tuple[Sequence[T], Begun]:
    """Begins a span for each that is sampled: the items, those with its traceparent in the place of
    that which they came with. `kind`: server, client, producer or consumer. `since`: nanoseconds of
    the epoch, where it has begun before.
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
    """The same; they end with the block."""
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
    """Begins the span of a request for a saga, in its caller's trace if `header` is one; it ends
    with the request (`end_request`). Its traceparent.
    """
    attributes = {"dueto.saga": saga, "dueto.saga_id": saga_id, "dueto.pattern": pattern}
    span = _span(name, parent=header, kind="server", attributes=attributes)
    _here.request, _here.saga_id = span, saga_id
    if span.is_recording():
        _know(saga_id, span)
    return _traceparent(span)


def end_request(*, status: int) -> None:
    """The request that this thread works on has its answer."""
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
    """A line tells the saga that it is about, and that one's trace."""
    saga_id = getattr(record, "saga_id", "") or _here.saga_id
    if saga_id:
        record.saga_id = saga_id
        if trace_id := _trace_of.get(saga_id):
            record.trace_id = trace_id
    return True
