"""OpenTelemetry, where somebody listens: from the emitter's `traceparent` through the log to the alert.

Spans are exported when OTEL_EXPORTER_OTLP_ENDPOINT is set; without it nothing is made and nothing is sent. No attribute holds
anything about a patient.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

PROPAGATOR = TraceContextTextMapPropagator()


@cache
def provider() -> TracerProvider | None:
    """The process's provider; None where nobody listens."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    made = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or "parcours"}))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


@contextmanager
def span(name: str, parent: str | None, **attributes: str | int) -> Iterator[str | None]:
    """A step of a trace, below the `traceparent` it was given; what is yielded is the one to hand on."""
    made = provider()
    if made is None:
        yield parent
        return
    context = PROPAGATOR.extract({"traceparent": parent}) if parent else None
    with made.get_tracer("parcours").start_as_current_span(
        name, context=context, kind=trace.SpanKind.INTERNAL, attributes=dict(attributes)
    ):
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier)
        yield carrier.get("traceparent", parent)


def flush() -> None:
    """Send what is not sent yet, before the process ends."""
    if (made := provider()) is not None:
        made.force_flush(5_000)
