"""The telemetry object is what a client takes as `on_event`. Type checkers read this; nothing runs it."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from kallglot_async import KallglotClient
from kallglot_async.telemetry import OpenTelemetry

KallglotClient(on_event=OpenTelemetry())
KallglotClient(on_event=OpenTelemetry(TracerProvider(), MeterProvider(), base_url="https://api.kallglot.com/v1"))
KallglotClient(on_event=OpenTelemetry("tracer"))  # pyright: ignore[reportArgumentType]
