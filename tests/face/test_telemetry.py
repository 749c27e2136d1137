"""Spans and metrics of a client, read with OpenTelemetry's own SDK."""

import asyncio
import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import kallglot_async
from kallglot_async import KallglotClient, NotFoundError
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.models import PollEvent, RequestEvent, ResponseEvent, RetryEvent, SettledEvent, ThrottledEvent
from kallglot_async.telemetry import OpenTelemetry

ROOT = Path(kallglot_async.__file__).parents[1]


class Bench:
    """An `OpenTelemetry` and what it has exported."""

    def __init__(self):
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.telemetry = OpenTelemetry(self.tracers, self.meters)

    @property
    def spans(self):
        return list(self._spans.get_finished_spans())

    def points(self, name):
        """Return the data points of a metric by their attributes."""
        data = self._reader.get_metrics_data()
        metrics = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return {
            tuple(sorted(point.attributes.items())): point
            for metric in metrics
            if metric.name == name
            for point in metric.data.data_points
        }


@pytest.fixture
def bench():
    return Bench()


def response(**changes):
    fields = {"at": 100.0, "operation": "analyses.retrieve", "method": "GET", "path": "analysis/ana_1", "attempt": 1}
    fields |= {"status": 200, "error": None, "request_id": "req_1", "elapsed": 0.25}
    return ResponseEvent(**fields | changes)


class TestSpans:
    def test_one_request_is_one_span(self, bench):
        """Start and end from the record, names of the conventions, and no id in the span's name."""
        request = {"operation": "analyses.retrieve", "method": "GET", "path": "analysis/ana_1", "attempt": 1}
        bench.telemetry(RequestEvent(at=99.75, **request))
        bench.telemetry(response())
        [span] = bench.spans
        assert (span.name, span.kind) == ("GET /analysis/{id}", SpanKind.CLIENT)
        assert (span.start_time, span.end_time) == (99_750_000_000, 100_000_000_000)
        assert span.status.status_code == StatusCode.UNSET
        assert dict(span.attributes) == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "url.template": "/analysis/{id}",
            "kallglot.operation": "analyses.retrieve",
            "kallglot.request_id": "req_1",
        }

    @pytest.mark.parametrize(
        ("path", "template"),
        [
            ("analysis/ana_1", "/analysis/{id}"),
            ("analyses/anl_1", "/analyses/{id}"),
            ("sessions", "/sessions"),
            ("sessions/sess_1/analysis", "/sessions/{id}/analysis"),
            ("sessions/sess_1/transcript?format=srt", "/sessions/{id}/transcript"),
            ("agents/agt_1/versions/ver_1/hand-over", "/agents/{id}/versions/{id}/hand-over"),
            ("calls/2026/11/27", "/calls/{id}/{id}/{id}"),
            ("sessions?session=sess_1", "/sessions"),
            ("/recordings/rec_1", "/recordings/{id}"),
        ],
    )
    def test_paths_become_templates(self, bench, path, template):
        """Without ids and query, so that there are few of them, whatever `client.request` was asked for."""
        bench.telemetry(response(path=path))
        assert bench.spans[0].attributes["url.template"] == template

    @pytest.mark.parametrize(
        ("end", "kind", "status"),
        [
            ({"status": 404, "error": "NotFoundError"}, "404", StatusCode.ERROR),
            ({"status": 429, "error": "RateLimitedError"}, "429", StatusCode.ERROR),
            ({"status": None, "error": "ConnectError"}, "ConnectError", StatusCode.ERROR),
            ({"status": 200, "error": "ResponseSchemaError"}, "ResponseSchemaError", StatusCode.ERROR),
            ({"status": None, "error": "CancelledError"}, "CancelledError", StatusCode.UNSET),
        ],
    )
    def test_errors_have_their_type(self, bench, end, kind, status):
        """The status where it is the error, else the class; giving up is no failure."""
        bench.telemetry(response(**end))
        [span] = bench.spans
        assert span.attributes["error.type"] == kind
        assert span.attributes.get("http.response.status_code") == end["status"]
        assert span.status.status_code == status

    def test_the_server_is_told_where_it_is_known(self):
        """Its address and port, of spans and of metrics."""
        bench = Bench()
        telemetry = OpenTelemetry(bench.tracers, bench.meters, base_url="https://api.kallglot.com/v1")
        telemetry(response())
        found = bench.spans[0].attributes
        assert (found["server.address"], found["server.port"]) == ("api.kallglot.com", 443)
        [attributes] = bench.points("http.client.request.duration")
        assert ("server.address", "api.kallglot.com") in attributes

    @pytest.mark.parametrize(
        ("path", "url", "name", "server"),
        [
            ("/x.mp3", "https://storage.example/x.mp3", "GET", ("storage.example", 443)),
            ("/b/c/d", "http://127.0.0.1:81/b/c/d", "GET", ("127.0.0.1", 81)),
            (
                "recordings/rec_1/audio",
                "https://api.kallglot.com/v1/recordings/rec_1/audio",
                "GET /recordings/{id}/audio",
                ("api.kallglot.com", 443),
            ),
        ],
    )
    def test_audio_tells_its_own_server(self, path, url, name, server):
        """A storage's paths are no series of a metric; the address is the span's alone."""
        bench = Bench()
        telemetry = OpenTelemetry(bench.tracers, bench.meters, base_url="https://other.example/v1")
        telemetry(response(operation="recordings.download", path=path, url=url))
        [span] = bench.spans
        assert span.name == name
        assert span.attributes["url.full"] == url
        assert (span.attributes["server.address"], span.attributes["server.port"]) == server
        [attributes] = bench.points("http.client.request.duration")
        assert ("server.address", server[0]) in attributes
        assert url not in str(attributes)
        assert ("url.template" in dict(attributes)) is (name != "GET")

    @pytest.mark.parametrize("revision", ["a", "b"])
    async def test_a_download_has_a_span_of_its_audio(self, bench, revision):
        """As long as the body takes, below its caller's span, with the server and no query."""
        async with Emulator(plan="unlimited", revision=revision) as emulator:
            async with KallglotClient(emulator.api_key, base_url=emulator.base_url, on_event=bench.telemetry) as client:
                [session] = emulator.sessions.seed(1)
                with bench.tracers.get_tracer("mine").start_as_current_span("caller"):
                    await client.recordings.download(emulator.sessions[session].recordings[0], io.BytesIO())
                    await client.sessions.transcript(session)
            audio = bench.spans[1]
            port = int(emulator.base_url.partition("127.0.0.1:")[2].partition("/")[0])
            assert audio.parent is not None
            assert audio.attributes["kallglot.operation"] == "recordings.download"
            assert audio.attributes["http.response.status_code"] == 200
            assert (audio.attributes["server.address"], audio.attributes["server.port"]) == ("127.0.0.1", port)
            assert audio.attributes["url.full"] == emulator.base_url.removesuffix("/v1") + emulator.journal[1].path
            assert "url.full" not in bench.spans[2].attributes


class TestMetrics:
    def test_requests_by_status_with_the_advised_buckets(self, bench):
        """Seconds; no id among the attributes, whatever was asked for."""
        for number in range(20):
            bench.telemetry(response(path=f"analysis/ana_{number}", request_id=f"req_{number}", attempt=1 + number))
        bench.telemetry(response(status=503, error="ServerError"))
        points = bench.points("http.client.request.duration")
        assert len(points) == 2
        [fine] = [point for attributes, point in points.items() if ("http.response.status_code", 200) in attributes]
        assert (fine.count, fine.sum) == (20, 5.0)
        assert fine.explicit_bounds[:3] == (0.005, 0.01, 0.025)
        assert fine.explicit_bounds[-1] == 10.0

    def test_polls_throttles_and_waits_are_counted(self, bench):
        """A status that nobody knows is one series, not one for each text."""
        for status in ("queued", "queued", "complete", "strange", "stranger"):
            bench.telemetry(PollEvent(at=1.0, id="ana_1", status=status, polls=1, elapsed=0.0))
        bench.telemetry(ThrottledEvent(at=1.0, operation="analyses.retrieve", group="analysis", pause=3.0))
        bench.telemetry(SettledEvent(at=1.0, id="ana_1", error=None, polls=3, elapsed=25.0))
        bench.telemetry(SettledEvent(at=1.0, id="ana_2", error="WaitTimeoutError", polls=9, elapsed=120.0))
        bench.telemetry(RetryEvent(at=1.0, operation="analyses.retrieve", attempt=1, error="ServerError", delay=0.5))
        polls = {attributes[0][1]: point.value for attributes, point in bench.points("kallglot.client.polls").items()}
        assert polls == {"queued": 2, "complete": 1, "other": 2}
        throttled = bench.points("kallglot.client.throttled")
        assert {attributes: point.value for attributes, point in throttled.items()} == {
            (("kallglot.group", "analysis"),): 1
        }
        waits = bench.points("kallglot.client.wait.duration")
        assert {attributes: point.sum for attributes, point in waits.items()} == {
            (): 25.0,
            (("error.type", "WaitTimeoutError"),): 120.0,
        }


async def test_concurrent_requests_keep_their_own_spans(bench):
    """Each is below its caller's span, with its own status, start and retry."""
    async with Emulator(plan="unlimited", latency=Latency.immediate()) as emulator:
        ids = emulator.seed_analyses(3)
        emulator.add_fault(Fault(kind="status", status=503, id=ids[0], times=1))
        emulator.add_fault(Fault(kind="slow", delay=0.5, id=ids[1]))
        tracer = bench.tracers.get_tracer("test")
        before = time.time_ns()
        async with KallglotClient(
            emulator.api_key, base_url=emulator.base_url, on_event=bench.telemetry, random=lambda: 0.0
        ) as client:

            async def call(id):
                with tracer.start_as_current_span(id):
                    await client.analyses.retrieve(id)

            await asyncio.gather(*map(call, ids))
            with pytest.raises(NotFoundError):
                await client.analyses.retrieve("ana_unknown")
    spans = bench.spans
    callers = {span.context.span_id: span.name for span in spans if span.kind == SpanKind.INTERNAL}
    requests = [span for span in spans if span.kind == SpanKind.CLIENT]
    seen = {
        id: [span for span in requests if span.parent is not None and callers[span.parent.span_id] == id] for id in ids
    }
    assert [span.attributes["http.response.status_code"] for span in seen[ids[0]]] == [503, 200]
    assert [span.attributes.get("http.request.resend_count") for span in seen[ids[0]]] == [None, 1]
    [slow], [quick] = seen[ids[1]], seen[ids[2]]
    assert slow.end_time - slow.start_time > max(490_000_000, quick.end_time - quick.start_time)
    assert all(before - 50_000_000 < span.start_time < span.end_time < time.time_ns() for span in requests)
    [unknown] = [span for span in requests if span.parent is None]
    assert unknown.attributes["error.type"] == "404"
    assert len(requests) == emulator.journal.total == 5


@pytest.mark.looptime
async def test_a_wait_is_measured(bench):
    """Its polls and its duration; a refusal on the way is counted."""
    async with Emulator(plan="unlimited", latency=Latency.uniform(25.0, 25.0)) as emulator:
        [id] = emulator.seed_analyses(1)
        emulator.add_fault(Fault(kind="throttle", times=1))
        async with KallglotClient(emulator.api_key, base_url=emulator.base_url, on_event=bench.telemetry) as client:
            await client.wait(id)
    [wait] = bench.points("kallglot.client.wait.duration").values()
    assert wait.count == 1
    assert 20.0 < wait.sum < 60.0
    polls = bench.points("kallglot.client.polls")
    assert sum(point.value for point in polls.values()) == emulator.journal.total - 1
    [throttled] = bench.points("kallglot.client.throttled").values()
    assert throttled.value == 1


def test_without_the_extra_one_error_names_it():
    """Importing the module says what to install; importing the package needs nothing."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None; import kallglot_async\n"
        "try:\n    import kallglot_async.telemetry\nexcept ImportError as error:\n    print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert ran.stdout == "kallglot_async.telemetry needs its extra: pip install 'kallglot-async[otel]'\n"
