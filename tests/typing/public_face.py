"""The public face as a strict type checker sees it. Checked by basedpyright, never run.

`assert_type` says what a user's editor shows; an ignore with a code says what must be an error, and is itself an
error where it is not needed any more.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import gzip
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TextIO, assert_type

import aiohttp
import pyarrow

import kallglot_async
from kallglot_async import (
    Analysis,
    AnalysisFailedError,
    AnalysisStatus,
    APIError,
    BatchFile,
    BatchIdentity,
    BatchReport,
    ConnectError,
    Download,
    DurableBatch,
    IdSourceError,
    KallglotClient,
    KallglotError,
    NotAttemptedError,
    NotFoundError,
    Outcome,
    Outcomes,
    PollSchedule,
    Progress,
    ProxyError,
    RateLimit,
    RateLimitedError,
    RateLimiter,
    RateLimitState,
    RawResponse,
    Recording,
    RecordingPage,
    Report,
    RequestError,
    ResponseTooLargeError,
    Results,
    Session,
    Transcript,
    WaitCall,
    WaitTimeoutError,
    __version__,
    models,
    read_jsonl,
    wait_many,
)
from kallglot_async.errors import InvalidIdError
from kallglot_async.errors import KallglotError as ErrorOfModule
from kallglot_async.models import (
    ActionItem,
    Channel,
    ClientEvent,
    Compliance,
    EndReason,
    FailureDetail,
    Line,
    PartySentiment,
    Performance,
    Priority,
    Provider,
    Quality,
    RecordingStatus,
    ResponseMeta,
    Segment,
    Sentiment,
    SentimentLabel,
    SentimentSegment,
    SessionStatus,
    Speaker,
    Stream,
    Summary,
    TalkRatio,
    Topic,
    Trend,
    Turn,
)
from kallglot_async.report import report_html
from kallglot_async.tables import TABLES, TableName, analyses_table, export


def lazy_ids() -> Iterator[str]:
    """Ids of a lazy source."""
    yield "ana_1"


async def async_ids() -> AsyncIterator[str]:
    """Ids of an asynchronous source."""
    yield "ana_1"


def misspelt_names_are_found() -> None:
    """Though names are loaded when they are first used."""
    isinstance(kallglot_async.Klient, type)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert_type(kallglot_async.errors.NotFoundError("gone"), NotFoundError)
    isinstance(models.Anlysis, type)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def client_is_made(session: aiohttp.ClientSession) -> None:
    """Every setting has its type, and the client is an async context manager of itself."""
    version: str = __version__
    assert version
    limiter = RateLimiter(RateLimit(30, per=60))
    client = KallglotClient(
        "sk_test_x",
        base_url="http://127.0.0.1:8080/v1",
        timeout=None,
        max_attempts=3,
        rate_limit=limiter,
        max_connections=100,
        max_in_flight=64,
        max_response_bytes=1024,
        max_rate_wait=5,
        connect_timeout=10,
        trust_env=False,
        session=session,
        random=lambda: 0.5,
    )
    assert_type(KallglotClient(rate_limit=RateLimit(30)), KallglotClient)
    assert_type(client.rate_limit, RateLimitState)
    async with client as same:
        assert_type(same, KallglotClient)
    assert_type(await client.aclose(), None)
    KallglotClient("sk_test_x", "https://api.kallglot.com/v1")  # pyright: ignore[reportCallIssue]
    KallglotClient(timeout="30")  # pyright: ignore[reportArgumentType]
    KallglotClient(rate_limit=30)  # pyright: ignore[reportArgumentType]
    with client:  # pyright: ignore[reportGeneralTypeIssues]
        pass


class Retrieves(Protocol):
    """What some code needs of `client.analyses`."""

    async def retrieve(self, id: str) -> Analysis: ...


class Has(Protocol):
    """What some code needs of a client, so that another thing can stand in for it."""

    @property
    def analyses(self) -> Retrieves: ...
    async def wait(self, id: str, *, timeout: float | None = 120.0) -> Analysis: ...


async def what_waits(has: Has) -> None:
    """Takes a client, resources included."""
    assert_type(await has.analyses.retrieve("ana_1"), Analysis)
    await what_waits(KallglotClient())


async def analyses_are_fetched_and_requested(client: KallglotClient) -> None:
    """`client.analyses` gives analyses and outcomes."""
    assert_type(await client.analyses.retrieve("ana_1"), Analysis)
    assert_type(await client.analyses.retrieve("ana_1", timeout=None), Analysis)
    assert_type(await client.analyses.retrieve("ana_1", timeout=5), Analysis)
    assert_type(await client.analyses.retrieve_many(["ana_1"], max_in_flight=4), Outcomes)
    assert_type(await client.analyses.create("sess_1", analyses=["summary"], language="en"), Analysis)
    assert_type(
        await client.analyses.create("sess_1", profile="default", include=("summary",), idempotency_key="k"), Analysis
    )
    await client.analyses.retrieve("ana_1", 5)  # pyright: ignore[reportCallIssue]
    await client.analyses.retrieve(5)  # pyright: ignore[reportArgumentType]
    await client.analyses.retreive("ana_1")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await client.analyses.create("sess_1", custom_prompts=["summary"])  # pyright: ignore[reportCallIssue]
    await client.analyses.create("sess_1", analyses=["summary"], profile="x")  # pyright: ignore[reportCallIssue]


async def analyzing(client: KallglotClient, sessions: AsyncIterator[str]) -> None:
    assert_type(await client.analyze("sess_1", analyses=["summary"], timeout=5.0), Analysis)
    assert_type(await client.analyze("sess_1", include=["summary"]), Analysis)
    assert_type(await client.analyze_many(sessions, batch="nightly", analyses=["summary"]), Outcomes)
    await client.analyze_many(["sess_1"], analyses=["summary"], include=["x"])  # pyright: ignore[reportCallIssue]
    analysis = await client.with_options(timeout=None, max_attempts=1).analyses.retrieve("ana_1")
    assert_type(analysis.meta, ResponseMeta | None)
    KallglotClient(on_event=lambda event: assert_type(event, ClientEvent))


async def waits_take_any_ids(client: KallglotClient, found: dict[str, int]) -> None:
    """Lists, sets, keys, generators and asynchronous generators of ids are accepted; a number is not."""

    def show(progress: Progress) -> None:
        assert_type(progress.total, int | None)
        assert_type(progress.rate_limit, RateLimitState)

    def keep(outcome: Outcome) -> None:
        assert_type(outcome.analysis, Analysis | None)

    assert_type(await client.wait("ana_1", timeout=None, schedule=PollSchedule.fixed(2)), Analysis)
    assert_type(await client.wait_many(["ana_1"], total_timeout=60, on_progress=show, on_outcome=keep), Outcomes)
    for ids in (["ana_1"], ("ana_1",), {"ana_1"}, frozenset({"ana_1"}), found, found.keys(), lazy_ids()):
        assert_type(await client.wait_many(ids), Outcomes)
    assert_type(await client.wait_many(async_ids()), Outcomes)
    assert_type(await wait_many(lazy_ids(), schedule=PollSchedule.exponential(1.0, 2.0, 10.0)), Outcomes)
    async with client.as_completed(async_ids(), max_in_flight=8) as finished:
        assert_type(finished, WaitCall)
        async for outcome in finished:
            assert_type(outcome, Outcome)
    await client.wait_many([1])  # pyright: ignore[reportArgumentType]
    await client.wait_many(5)  # pyright: ignore[reportArgumentType]
    await client.wait_many(["ana_1"], 120)  # pyright: ignore[reportCallIssue]


async def durable_batches(client: KallglotClient) -> None:
    """Ids from anywhere, a report, outcomes; what a file is for is checked as what a create asks for."""
    async with client.open_batch(Path("nightly.kallglot"), kind="retrieve") as batch:
        assert_type(batch, DurableBatch)
        assert_type(await batch.add(lazy_ids()), int)
        assert_type(await batch.add(async_ids(), only_listed=True), int)
        report = await batch.run(total_timeout=600, on_progress=lambda told: told.done)
        assert_type(report, BatchReport)
        assert_type(report.reason, KallglotError | None)
        assert_type(batch.status(), BatchReport)
        assert_type(batch.retry(state="failed"), int)
        assert_type(batch.export("out.parquet"), int)
        assert_type(batch.file.reasons("given_up"), dict[str, int])
        async for outcome in batch.outcomes(state="done"):
            assert_type(outcome, Outcome)
        async for _ in batch.outcomes(state="gone"):  # pyright: ignore[reportArgumentType]
            pass
    client.open_batch("b", analyses=["summary"], language="de")
    components = frozenset({"summary", "sentiment"})  # taken in sorted order
    await client.analyze("sess_1", analyses=components)
    await client.analyze_many(["sess_1"], analyses=(name for name in components))
    client.open_batch("b", include={"summary": 1}.keys())
    client.open_batch("b", include=["summary"])
    client.open_batch("b", analysis=["summary"])  # pyright: ignore[reportCallIssue]
    assert_type(BatchFile("b").outcomes(), Iterator[Outcome])
    assert_type(BatchFile("b").identity, BatchIdentity)
    assert_type(BatchFile("b").identity.kind, Literal["wait", "retrieve", "analyze"])


def analysis_is_typed_to_the_leaf(analysis: Analysis) -> None:
    """No part of an analysis is `Any`, except what is undocumented."""
    assert_type(analysis.id, str)
    assert_type(analysis.status, AnalysisStatus)
    assert_type(analysis.session_id, str | None)
    assert_type(analysis.is_settled, bool)
    assert_type(analysis.is_complete, bool)
    assert_type(analysis.is_failed, bool)
    assert_type(analysis.error, FailureDetail | str | None)
    assert_type(analysis.error_message, str | None)
    assert_type(analysis.summary_text, str | None)
    assert_type(analysis.created_at, datetime | None)
    assert_type(analysis.completed_at, datetime | None)
    assert_type(analysis.estimated_completion, datetime | None)
    assert_type(analysis.analyses, tuple[str, ...])
    assert_type(analysis.results, Results | None)
    assert_type(analysis.report, Report | None)
    analysis.status = AnalysisStatus.FAILED  # pyright: ignore[reportAttributeAccessIssue]


def results_are_typed_to_the_leaf(results: Results, report: Report) -> None:
    """Every part may be missing, every list is a tuple, every metric is a float."""
    assert_type(results.sentiment, Sentiment | None)
    assert_type(results.summary, Summary | None)
    assert_type(results.action_items, tuple[ActionItem, ...])
    assert_type(results.quality, Quality | None)
    assert_type(results.topics, tuple[Topic, ...])
    if results.sentiment is not None:
        assert_type(results.sentiment.segments, tuple[SentimentSegment, ...])
        assert_type(results.sentiment.overall, float | None)
        assert_type(results.sentiment.label, SentimentLabel | None)
        assert_type(results.sentiment.trend, Trend | None)
    for item in results.action_items:
        assert_type(item.due_date, date | None)
        assert_type(item.assignee, Speaker | None)
        assert_type(item.priority, Priority | None)
    if results.quality is not None:
        assert_type(results.quality.score, float | None)
        assert_type(results.quality.talk_ratio, TalkRatio | None)
    assert_type(report.sentiment, PartySentiment | None)
    assert_type(report.compliance, Compliance | None)
    assert_type(report.performance, Performance | None)
    assert_type(report.summary, str | None)


def enumerations_are_open(text: str) -> None:
    """A member is a text, any text can become one, and whether it is documented can be asked."""
    status = AnalysisStatus(text)
    assert_type(status, AnalysisStatus)
    assert_type(status.is_known, bool)
    plain: str = status
    assert plain
    # A checker takes an enumeration to be closed, so a text that is not documented is compared as a text.
    if str(status) == "paused":
        return


def outcomes_are_a_sequence(outcomes: Outcomes) -> None:
    """An index gives an outcome, a slice gives outcomes."""
    assert_type(outcomes[0], Outcome)
    assert_type(outcomes[1:], Outcomes)
    assert_type([outcome.id for outcome in outcomes], list[str])
    assert_type(len(outcomes), int)
    assert_type(outcomes.analyses, list[Analysis])
    assert_type(outcomes.errors, dict[str, KallglotError])
    assert_type(outcomes.raise_for_errors(), None)
    assert_type(outcomes[0].unwrap(), Analysis)
    assert_type(outcomes[0].error, KallglotError | None)
    assert_type(outcomes[0].ok, bool)


def outcomes_become_a_page_and_tables(outcomes: Outcomes, raw: BinaryIO, text: TextIO) -> None:
    """A page is a text, a table is pyarrow's, and CSV goes wherever bytes or text go."""
    assert_type(outcomes.to_html(title="Last week", today=date(2026, 3, 20)), str)
    assert_type(report_html(iter(outcomes)), str)
    assert_type(outcomes.to_arrow("topics"), pyarrow.Table)
    assert_type(analyses_table(iter(outcomes)), pyarrow.Table)
    assert_type(outcomes.to_csv("out.csv"), None)
    for file in (raw, text, Path("out.csv")):
        outcomes.to_csv(file, table="segments", exact=True)
    assert_type(export(read_jsonl("outcomes.jsonl"), "out.parquet", tables=TABLES), dict[TableName, Path])
    outcomes.to_arrow("calls")  # pyright: ignore[reportArgumentType]


async def sessions_and_transcripts_are_typed(client: KallglotClient) -> None:
    """`client.sessions` gives sessions, transcripts, texts and lists of recordings."""
    session = await client.sessions.retrieve("sess_1", timeout=None)
    assert_type(session, Session)
    assert_type(session.status, SessionStatus)
    assert_type(session.provider, Provider | None)
    assert_type(session.stream, Stream | None)
    assert_type(session.duration, float | None)
    assert_type(session.end_reason, EndReason | None)
    assert_type(session.is_ended, bool)
    assert_type(await client.sessions.end("sess_1", reason=EndReason.COMPLETED, idempotency_key="k"), Session)
    transcript = await client.sessions.transcript("sess_1", include_translations=False)
    assert_type(transcript, Transcript)
    assert_type(transcript.lines, tuple[Line, ...])
    assert_type(transcript.segments, tuple[Segment, ...])
    assert_type(transcript.turns, tuple[Turn, ...])
    assert_type(transcript.lines[0].speaker, Speaker | None)
    assert_type(transcript.lines[0].start, float | None)
    assert_type(await client.sessions.transcript_text("sess_1", format="srt"), str)
    async for recording in client.sessions.recordings("sess_1", channel=Channel.MIXED, limit=10):
        assert_type(recording, Recording)
    async for page in client.sessions.recordings("sess_1").pages():
        assert_type(page, RecordingPage)
    await client.sessions.transcript_text("sess_1", format="pdf")  # pyright: ignore[reportArgumentType]
    await client.sessions.end("sess_1", "completed")  # pyright: ignore[reportCallIssue]


async def recordings_are_downloaded(client: KallglotClient, path: Path, file: BinaryIO, text: TextIO) -> None:
    """Into a path or a file object that takes bytes, by id or by recording."""
    recording = await client.recordings.retrieve("rec_1")
    assert_type(recording, Recording)
    assert_type(recording.status, RecordingStatus)
    assert_type(recording.channel, Channel | None)
    assert_type(recording.size, float | None)

    def show(received: int, total: int | None) -> None:
        assert_type((received, total), tuple[int, int | None])

    assert_type(await client.recordings.download(recording, path, on_progress=show, max_bytes=10), Download)
    got = await client.recordings.download("rec_1", "x.mp3", format="wav", overwrite=True, timeout=60)
    assert_type((got.path, got.bytes_written, got.resumed), tuple[str | None, int, int])
    await client.recordings.download("rec_1", file)
    await client.recordings.download("rec_1", BytesIO())
    await client.recordings.download("rec_1", text)  # pyright: ignore[reportArgumentType]
    await client.recordings.download("rec_1", 5)  # pyright: ignore[reportArgumentType]


async def errors_carry_typed_fields(client: KallglotClient) -> None:
    """What an `except` catches has its fields, typed, without a cast."""
    try:
        await client.wait("ana_1")
    except AnalysisFailedError as error:
        assert_type(error.analysis, Analysis | None)
    except WaitTimeoutError as error:
        as_timeout: TimeoutError = error
        assert_type(error.last_status, str | None)
        assert_type((error.id, error.polls, error.elapsed), tuple[str, int, float])
        raise as_timeout from None
    except RateLimitedError as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.limit, int | None)
    except APIError as error:
        assert_type((error.status, error.code, error.param), tuple[int, str | None, str | None])
    except ConnectError as error:
        as_connection: ConnectionError = error
        raise as_connection from None
    except ProxyError as error:
        assert_type((error.proxy, error.status), tuple[str, int | None])
    except ResponseTooLargeError as error:
        assert_type(error.limit, int)
    except RequestError as error:
        assert_type(error.attempts, int)
        assert_type(error.history, tuple[str, ...])
        assert_type(error.idempotency_key, str | None)
    except IdSourceError as error:
        assert_type(error.outcomes, Outcomes | None)
    except NotAttemptedError as error:
        assert_type(error.reason, KallglotError | None)
    except InvalidIdError as error:
        as_value: ValueError = error
        raise as_value from None
    except ErrorOfModule as error:
        assert_type(error.message, str)


async def a_key() -> str:
    """Ask a vault."""
    return "sk_live_x"


async def ways_out(client: KallglotClient, session: aiohttp.ClientSession) -> None:
    """Headers, keys that are asked for, requests of one's own, sessions."""
    KallglotClient(lambda: "sk_live_x", default_headers={"X-Tenant": "a"}, user_agent_suffix="my-app/1")
    KallglotClient(a_key, session=session, download_session=session, keep_raw=False)
    KallglotClient(lambda: 5)  # pyright: ignore[reportArgumentType]
    assert_type(client.with_options(extra_headers={"X-Tenant": "b"}), KallglotClient)
    assert_type(await client.analyses.retrieve("ana_1", extra_headers={"X-Trace": "c"}), Analysis)
    assert_type(await client.wait("ana_1", extra_headers={"X-Trace": "c"}), Analysis)
    await client.analyses.retrieve("ana_1", extra_headers={"X-Trace": 5})  # pyright: ignore[reportArgumentType]
    response = await client.request("POST", "agents", json={"name": "a"}, params={"limit": 10, "all": True})
    assert_type(response, RawResponse)
    status, headers, body = response
    assert_type(status, int)
    assert_type(headers, Mapping[str, str])
    assert_type(body, bytes)


def stored(outcomes: Outcomes, analysis: Analysis) -> None:
    """Values as JSON, and what they keep of their answer."""
    assert_type(analysis.to_json(), bytes)
    assert_type(Analysis.from_json(b"{}"), Analysis)
    assert_type(Outcome.from_json("{}"), Outcome)
    assert_type(analysis.raw, bytes | None)
    assert_type(analysis.problems, tuple[str, ...])
    assert_type(outcomes["ana_1"], Outcome)
    assert_type(outcomes[0], Outcome)
    assert_type(outcomes[:5], Outcomes)
    assert_type(outcomes.get("ana_1"), Outcome | None)
    assert_type(outcomes.failed, Outcomes)
    outcomes.to_jsonl(Path("outcomes.jsonl"))
    assert_type(read_jsonl("outcomes.jsonl"), Iterator[Outcome])
    assert_type(Outcomes(read_jsonl(BytesIO())), Outcomes)
    with gzip.open("outcomes.jsonl.gz", "wb") as packed:
        outcomes.to_jsonl(packed)
        outcomes.to_csv(packed)
    with gzip.open("outcomes.jsonl.gz") as packed:
        assert_type(read_jsonl(packed), Iterator[Outcome])
