"""Spans and metrics for OpenTelemetry, from the records of what a client does. Needs the extra `otel`.

    from kallglot_async.telemetry import OpenTelemetry

    client = KallglotClient(on_event=OpenTelemetry())

Every request that a client's records tell of is a client span, named like `GET /analysis/{id}`, below whatever span
its caller was in; polls of a shared wait are below the span of the wait that sends them. Names are those of the
semantic conventions for HTTP clients. A request for audio ends with the last byte of it, and has `server.address`,
`server.port` and `url.full` (without its query, which may be a credential); one to a storage is named `GET` alone.
Metrics have no ids among their attributes. Do not instrument aiohttp as well: every request would be there twice.

Metrics: `http.client.request.duration` (s), `kallglot.client.polls`, `kallglot.client.throttled`, and
`kallglot.client.wait.duration` (s, from the first poll).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from kallglot_async._version import __version__
from kallglot_async.models import AnalysisStatus, ClientEvent, PollEvent, ResponseEvent, SettledEvent, ThrottledEvent

try:
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer
except ModuleNotFoundError as _error:
    raise ImportError("kallglot_async.telemetry needs its extra: pip install 'kallglot-async[otel]'") from _error

__all__ = ["OpenTelemetry"]

_NAME = "kallglot_async"

# The boundaries that the semantic conventions advise for this metric.
_REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# Around the documented 20 to 30 s and the default timeout of 120 s.
_WAIT_SECONDS: Final = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0)

_WORD = re.compile(r"[a-z-]{1,32}")

Attributes = dict[str, str | int]


class OpenTelemetry:
    """Makes spans and metrics of a client's records; to be passed as its `on_event`. May serve several clients.

    Args:
        tracer_provider: Default: the global one.
        meter_provider: Default: the global one.
        base_url: The client's, for `server.address` and `server.port`, which only the records of audio tell.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        base_url: str | None = None,
    ) -> None:
        self._server = {} if base_url is None else _server(base_url)
        self._tracer = get_tracer(_NAME, __version__, tracer_provider)
        meter = get_meter(_NAME, __version__, meter_provider)
        self._requests = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_REQUEST_SECONDS,
        )
        self._polls = meter.create_counter("kallglot.client.polls", unit="{poll}", description="Polls answered.")
        self._throttled = meter.create_counter(
            "kallglot.client.throttled", unit="{request}", description="Requests refused for rate."
        )
        self._waits = meter.create_histogram(
            "kallglot.client.wait.duration",
            unit="s",
            description="From the first poll of an analysis to the outcome of the wait.",
            explicit_bucket_boundaries_advisory=_WAIT_SECONDS,
        )

    def __call__(self, event: ClientEvent) -> None:
        """Take in one record."""
        if isinstance(event, ResponseEvent):
            self._on_response(event)
        elif isinstance(event, PollEvent):
            self._polls.add(1, {"kallglot.analysis.status": _status(event.status)})
        elif isinstance(event, ThrottledEvent):
            self._throttled.add(1, {"kallglot.group": event.group})
        elif isinstance(event, SettledEvent):
            self._waits.record(event.elapsed, {} if event.error is None else {"error.type": event.error})

    def _on_response(self, event: ResponseEvent) -> None:
        template = None if _is_elsewhere(event) else _template(event.path)
        shared: Attributes = {"http.request.method": event.method, **self._server}
        if event.url is not None:
            shared |= _server(event.url)
        if template is not None:
            shared["url.template"] = template
        if event.status is not None:
            shared["http.response.status_code"] = event.status
        if (kind := _error_type(event)) is not None:
            shared["error.type"] = kind
        self._requests.record(event.elapsed, shared)
        # The end alone tells all of it. Pairing it with its beginning would need a key that the records do not have:
        # two requests for one id may be on their way at once.
        span = self._tracer.start_span(
            event.method if template is None else f"{event.method} {template}",
            kind=SpanKind.CLIENT,
            attributes=shared | _of_span(event),
            start_time=_nanoseconds(event.at - event.elapsed),
        )
        # Who cancels does not want the answer any more; that is no failure.
        if kind is not None and kind != "CancelledError":
            span.set_status(Status(StatusCode.ERROR, event.error))
        span.end(_nanoseconds(event.at))


def _of_span(event: ResponseEvent) -> Attributes:
    """Return what would split a metric into too many series."""
    # Ids of requests and counts of attempts: with them, a metric would have a series for each request.
    attributes: Attributes = {"kallglot.operation": event.operation}
    if event.url is not None:
        attributes["url.full"] = event.url
    if event.attempt > 1:
        attributes["http.request.resend_count"] = event.attempt - 1
    if event.request_id is not None:
        attributes["kallglot.request_id"] = event.request_id
    return attributes


def _error_type(event: ResponseEvent) -> str | None:
    """Return the status where it is the error, else the class of the error, as the conventions say."""
    if event.status is not None and event.status >= 400:
        return str(event.status)
    return event.error


def _is_elsewhere(event: ResponseEvent) -> bool:
    """Whether the request went to a storage, whose paths are of no form that we know."""
    return event.url is not None and event.path.startswith("/")


def _template(path: str) -> str:
    """Return a path without its ids and query: every path of the API is a collection, an id and an action.

    What `client.request` is given may have more; of that, words stay alone, as ids would make series without end.
    """
    collection, *rest = path.partition("?")[0].strip("/").split("/")
    return "/".join(["", _word(collection), *(["{id}", *map(_word, rest[1:])] if rest else [])])


def _word(segment: str) -> str:
    return segment if _WORD.fullmatch(segment) else "{id}"


def _status(status: str) -> str:
    # A server's own words would make series without end.
    known = AnalysisStatus(status)
    return known.value if known.is_known else "other"


def _server(base_url: str) -> Attributes:
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
