"""A receiver of traces: OTLP over HTTP, as a collector takes it."""

import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span(NamedTuple):
    """A span. `parent`: empty if there is none."""

    id: str
    trace_id: str
    parent: str
    service: str
    name: str
    attributes: dict[str, Any]
    links: list[str]
    is_failed: bool
    started: int
    ended: int


class Receiver:
    """Keeps every span that is sent to it, by trace."""

    def __init__(self) -> None:
        self._spans: dict[str, list[Span]] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for span in _spans(request):
            self._spans.setdefault(span.trace_id, []).append(span)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans received so far."""
        return list(self._spans.get(trace_id, []))

    def count(self) -> int:
        """Of all spans."""
        return sum(map(len, list(self._spans.values())))


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        named = {
            attribute.key: attribute.value.string_value
            for attribute in resource.resource.attributes
        }
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            yield Span(
                id=span.span_id.hex(),
                trace_id=span.trace_id.hex(),
                parent=span.parent_span_id.hex(),
                service=named["service.name"],
                name=span.name,
                attributes={
                    attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value"))
                    for attribute in span.attributes
                },
                links=[link.span_id.hex() for link in span.links],
                is_failed=span.status.code == 2,
                started=span.start_time_unix_nano,
                ended=span.end_time_unix_nano,
            )


def traceparent(*, is_sampled: bool = True) -> tuple[str, str]:
    """A caller's own trace: its id, and the header."""
    trace_id = secrets.token_hex(16)
    return trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-0{int(is_sampled)}"


def shown(spans: list[Span]) -> str:
    """As a tree, for the message of a failed test."""
    known = {span.id for span in spans}

    def lines(parent: str | None, depth: int) -> Iterator[str]:
        for span in sorted(spans, key=lambda span: span.started):
            if (span.parent == parent) if parent else span.parent not in known:
                yield f"{'  ' * depth}{span.service}: {span.name} {span.attributes}"
                yield from lines(span.id, depth + 1)

    return "\n".join(lines(None, 0))
