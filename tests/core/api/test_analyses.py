"""The decoder: both revisions as documented, the drift of servers, and bodies that are broken or hostile."""

import copy
import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.examples import texts
from support.payloads import PAYLOADS, changed, places

from kallglot_async._core.api.analyses import Revision, decode_analysis
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError, decode_json_object
from kallglot_async.models import (
    ActionItem,
    Analysis,
    AnalysisStatus,
    Compliance,
    FailureDetail,
    KeyMoment,
    PartySentiment,
    Performance,
    Priority,
    Quality,
    Report,
    Results,
    Sentiment,
    SentimentLabel,
    SentimentSegment,
    Speaker,
    Summary,
    TalkRatio,
    Topic,
    Trend,
)

CANARY = "CANARY"
SAMPLES = {
    "complete A": ("analysis_complete.a.json", Revision.A),
    "completed B": ("analysis_completed.b.json", Revision.B),
    "created A": ("analysis_created.a.json", Revision.A),
    "created B": ("analysis_created.b.json", Revision.B),
}


def sample(name):
    """Return a documented sample as plain JSON, and its revision."""
    file, revision = SAMPLES[name]
    return json.loads((PAYLOADS / file).read_bytes()), revision


def decode(plain, revision=Revision.A):
    return decode_analysis(json.dumps(plain).encode(), revision)


def minimal(**fields):
    return {"id": "ana_1", "object": "analysis", "status": "complete", **fields}


def minimal_b(**fields):
    return {"id": "anl_1", "object": "analysis", "status": "completed", **fields}


IDENTITY = {("id",), ("object",), ("status",)}
OPTIONAL = [(name, path) for name in SAMPLES for path in places(sample(name)[0]) if path not in IDENTITY]


class TestSamples:
    def test_founding_sample_is_decoded_whole(self):
        """Every field of the founding document's sample arrives, under its name and with its type."""
        plain, revision = sample("complete A")
        assert decode(plain, revision) == Analysis(
            id="ana_01HDEF456789012",
            object="analysis",
            session_id="sess_01HXYZ123456789",
            status=AnalysisStatus.COMPLETE,
            results=Results(
                sentiment=Sentiment(
                    overall=0.72,
                    label=SentimentLabel.POSITIVE,
                    trend=Trend.IMPROVING,
                    segments=(
                        SentimentSegment(id="seg_001", score=0.1, label=SentimentLabel.NEUTRAL),
                        SentimentSegment(id="seg_002", score=-0.3, label=SentimentLabel.NEGATIVE),
                        SentimentSegment(id="seg_003", score=0.8, label=SentimentLabel.POSITIVE),
                        SentimentSegment(id="seg_004", score=0.9, label=SentimentLabel.POSITIVE),
                    ),
                    key_moments=(KeyMoment(segment_id="seg_003", type="positive_peak", description="Issue resolved"),),
                ),
                summary=Summary(
                    brief="Customer inquired about order status. Agent located the order and confirmed delivery date.",
                    key_points=(
                        "Customer asked about order #12345",
                        "Order was delayed due to shipping",
                        "New delivery date confirmed for March 28",
                    ),
                    outcome="resolved",
                ),
                action_items=(
                    ActionItem(
                        description="Send tracking number to customer",
                        assignee=Speaker.AGENT,
                        due_date=None,
                        priority=Priority.HIGH,
                    ),
                    ActionItem(
                        description="Call back if package doesn't arrive by March 28",
                        assignee=Speaker.CUSTOMER,
                        due_date=date(2026, 3, 28),
                        priority=Priority.MEDIUM,
                    ),
                ),
                quality=Quality(
                    score=85.0,
                    talk_ratio=TalkRatio(agent=55.0, customer=45.0),
                    interruptions=1.0,
                    average_response_time=1.2,
                    hold_time=0.0,
                    dead_air_instances=0.0,
                ),
                topics=(
                    Topic(name="order_status", confidence=0.95),
                    Topic(name="shipping", confidence=0.88),
                    Topic(name="delivery_date", confidence=0.82),
                ),
                compliance=None,
            ),
            report=None,
            error=None,
            created_at=datetime(2026, 3, 26, 11, 10, 0, tzinfo=UTC),
            completed_at=datetime(2026, 3, 26, 11, 10, 25, tzinfo=UTC),
        )

    def test_sample_of_revision_b_is_decoded_whole(self):
        """Revision B's flat fields find their place: shared names in front, its own parts in `report`."""
        plain, revision = sample("completed B")
        assert decode(plain, revision) == Analysis(
            id="anl_01HDEF456789012",
            object="analysis",
            session_id="sess_01HXYZ123456789",
            status=AnalysisStatus.COMPLETED,
            results=None,
            report=Report(
                call_id=None,
                profile="default",
                summary="Customer checked order status; agent confirmed the new ship date.",
                sentiment=PartySentiment(
                    customer="Neutral, slightly anxious early; satisfied after confirmation.",
                    agent="Calm and solution-oriented throughout.",
                ),
                compliance=Compliance(status="ok", flags=()),
                performance=Performance(score=0.86),
                keywords=None,
            ),
            error=None,
            created_at=datetime(2026, 3, 26, 11, 10, 0, tzinfo=UTC),
            completed_at=datetime(2026, 3, 26, 11, 10, 22, tzinfo=UTC),
        )

    def test_create_answer_of_revision_a(self):
        """A's answer to a create echoes what was requested and says when to expect it."""
        plain, revision = sample("created A")
        assert decode(plain, revision) == Analysis(
            id="ana_01HDEF456789012",
            object="analysis",
            session_id="sess_01HXYZ123456789",
            status=AnalysisStatus.QUEUED,
            analyses=("sentiment", "summary", "action_items", "quality"),
            language="en",
            created_at=datetime(2026, 3, 26, 11, 10, 0, tzinfo=UTC),
            estimated_completion=datetime(2026, 3, 26, 11, 10, 30, tzinfo=UTC),
        )

    def test_create_answer_of_revision_b(self):
        """B's answer to a create is identity and status, without an empty report."""
        plain, revision = sample("created B")
        assert decode(plain, revision) == Analysis(
            id="anl_01HDEF456789012",
            object="analysis",
            session_id="sess_01HXYZ123456789",
            status=AnalysisStatus.PROCESSING,
        )

    def test_parts_the_samples_do_not_show(self):
        """`compliance` (A), `keywords`, `call_id` and flags (B) are requestable and are kept as they come."""
        shape = {"script": {"followed": True, "missing": [None]}, "score": 1}
        assert decode(minimal(results={"compliance": shape})).results.compliance == shape
        plain = minimal_b(keywords=[{"text": "refund"}], call_id="call_1", compliance={"flags": ["tone", {"at": 3}]})
        report = decode(plain, Revision.B).report
        assert (report.keywords, report.call_id) == ([{"text": "refund"}], "call_1")
        assert report.compliance == Compliance(flags=("tone", {"at": 3}))


class TestDrift:
    @pytest.mark.parametrize("name", SAMPLES)
    def test_unknown_fields_are_ignored_at_every_level(self, name):
        """A field that a server adds anywhere changes nothing."""
        plain, revision = sample(name)
        grown = {**copy.deepcopy(plain), "x_new": {"deep": [1, None]}}
        for path in places(plain):
            part = grown
            for key in path:
                part = part[key]
            if isinstance(part, dict):
                part["x_new"] = {"deep": [1, None]}
        assert decode(grown, revision) == decode(plain, revision)

    @pytest.mark.parametrize("name", SAMPLES)
    def test_order_of_fields_does_not_matter(self, name):
        """JSON objects have no order."""
        plain, revision = sample(name)
        assert decode(dict(reversed(plain.items())), revision) == decode(plain, revision)

    def test_null_is_the_same_as_absent(self):
        """Null for any optional part, list or element reads as if it had not been sent."""
        for name, path in OPTIONAL:
            plain, revision = sample(name)
            assert decode(changed(plain, path, None), revision) == decode(changed(plain, path), revision), path

    def test_odd_timestamp_elsewhere_costs_nothing_else(self):
        """The lenient reading gives the same value as the fast one, apart from the field that was odd."""
        for name, path in OPTIONAL:
            plain, revision = sample(name)
            plain["completed_at"] = None
            odd = changed(plain, ("completed_at",), "soon")
            assert decode(changed(odd, path, None), revision) == decode(changed(plain, path, None), revision), path

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("status",), "paused"),
            (("results", "sentiment", "label"), "mixed"),
            (("results", "sentiment", "trend"), "volatile"),
            (("results", "sentiment", "segments", 0, "label"), "mixed"),
            (("results", "action_items", 0, "assignee"), "supervisor"),
            (("results", "action_items", 0, "priority"), "urgent"),
        ],
    )
    @pytest.mark.parametrize("timestamp", ["2026-03-26T11:10:00Z", "soon"], ids=["fast", "lenient"])
    def test_unknown_text_of_an_enumeration_is_kept(self, path, value, timestamp):
        """A status or label the documentation does not know is kept with its text, on either way of decoding."""
        plain, _ = sample("complete A")
        found = decode({**changed(plain, path, value), "created_at": timestamp})
        for key in path:
            found = found[key] if isinstance(key, int) else getattr(found, key)
        assert (str(found), found.is_known) == (value, False)

    @pytest.mark.parametrize("name", SAMPLES)
    def test_numbers_may_be_whole_or_fractional(self, name):
        """85.0 is 85 and 85 is 85.0: the same metric comes as either."""
        plain, revision = sample(name)
        for path, number in numbers(plain):
            if number == int(number):
                assert decode(changed(plain, path, float(number)), revision) == decode(plain, revision)
                assert decode(changed(plain, path, int(number)), revision) == decode(plain, revision)
        whole = minimal(results={"quality": {"score": 85, "interruptions": 1}})
        fractional = minimal(results={"quality": {"score": 85.0, "interruptions": 1.0}})
        assert decode(whole) == decode(fractional)
        assert isinstance(decode(whole).results.quality.score, float)

    @pytest.mark.parametrize("results", [None, {}, {"sentiment": None}, {"action_items": None, "topics": [None]}])
    def test_unfinished_results_are_empty(self, results):
        """Whether results are absent, null, empty or full of nulls while it is processing, it decodes."""
        found = decode({**minimal(results=results), "status": "processing"})
        assert found.results in (None, Results())
        assert not found.is_settled

    def test_field_of_our_own_value_that_no_revision_sends_is_unknown(self):
        """`report` is a name of ours: in a body of revision A it is an unknown field like any other."""
        assert decode(minimal(report={"summary": "x"})).report is None
        assert decode(minimal(report="x")).report is None
        assert decode(minimal_b(report={"summary": "x"}, results={"summary": {}}), Revision.B).report is None

    def test_undocumented_parts_are_kept_to_the_letter(self):
        """Nulls inside parts of unknown shape are data, also where something else had to be read leniently."""
        shape = {"a": None, "b": [None, {"c": None}]}
        for timestamp in ("2026-03-26T11:10:00Z", "soon"):
            a = decode(minimal(created_at=timestamp, results={"compliance": shape}))
            assert a.results.compliance == shape
            b = decode(minimal_b(created_at=timestamp, keywords=shape, compliance={"flags": [shape]}), Revision.B)
            assert b.report.keywords == shape
            assert b.report.compliance.flags == (shape,)


def numbers(plain):
    for path in places(plain):
        value = plain
        for key in path:
            value = value[key]
        if isinstance(value, int | float):
            yield path, value


class TestTimestamps:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-03-26T11:10:00Z", datetime(2026, 3, 26, 11, 10, tzinfo=UTC)),
            ("2026-03-26T11:10:00.250Z", datetime(2026, 3, 26, 11, 10, 0, 250_000, tzinfo=UTC)),
            ("2026-03-26T13:10:00+02:00", datetime(2026, 3, 26, 11, 10, tzinfo=UTC)),
            ("2026-03-26 11:10:00Z", datetime(2026, 3, 26, 11, 10, tzinfo=UTC)),
            ("2026-03-26T11:10:00", datetime(2026, 3, 26, 11, 10, tzinfo=UTC)),
            ("2026-03-26", datetime(2026, 3, 26, tzinfo=UTC)),
            (" 2026-03-26T11:10:00Z ", datetime(2026, 3, 26, 11, 10, tzinfo=UTC)),
            ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
            (1_774_523_400, datetime(2026, 3, 26, 11, 10, tzinfo=UTC)),
            (1_774_523_400.5, datetime(2026, 3, 26, 11, 10, 0, 500_000, tzinfo=UTC)),
        ],
    )
    @pytest.mark.parametrize("name", ["created_at", "completed_at", "estimated_completion"])
    def test_plausible_moment_is_read(self, name, text, moment):
        """Without a zone it is UTC, a bare date is midnight, a leap second is the second before, a number is Unix."""
        found = getattr(decode(minimal(**{name: text})), name)
        assert found == moment
        assert found.utcoffset() is not None

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "soon",
            "26.03.2026",
            "2026-02-30T00:00:00Z",
            "2026-03-26T25:00:00Z",
            "0000-00-00T00:00:00Z",
            "+10000-01-01T00:00:00Z",
            1e300,
            -1e18,
            10**30,
            pytest.param(10**400, id="10**400"),
            True,
            [],
            {},
            {"seconds": 1},
        ],
    )
    def test_unreadable_moment_is_none_and_loses_nothing_else(self, value):
        """A timestamp that cannot be read costs itself, never the analysis or a sibling field."""
        plain, _ = sample("complete A")
        for name in ("created_at", "completed_at", "estimated_completion"):
            found = decode(changed(plain, (name,), value))
            assert found == decode(changed(plain, (name,), None))
        found = decode({**sample("completed B")[0], "created_at": value}, Revision.B)
        assert found.created_at is None
        assert found.summary_text == "Customer checked order status; agent confirmed the new ship date."

    @pytest.mark.parametrize(
        ("value", "day"),
        [
            ("2026-03-28", date(2026, 3, 28)),
            ("2026-03-28T17:00:00Z", date(2026, 3, 28)),
            ("2026-03-28T23:30:00+02:00", date(2026, 3, 28)),
            ("2026-03-28T17:00:00", date(2026, 3, 28)),
            (1_774_656_000, date(2026, 3, 28)),
            ("next Tuesday", None),
            ("", None),
            pytest.param(10**400, None, id="10**400"),
            ([], None),
        ],
    )
    def test_due_date_is_a_day_or_none(self, value, day):
        """A due date sent as a moment is its day; one that cannot be read is None and keeps the action item."""
        found = decode(minimal(results={"action_items": [{"description": "call back", "due_date": value}]}))
        assert found.results.action_items == (ActionItem(description="call back", due_date=day),)

    @given(texts() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.datetimes().map(str))
    @example(10**400)
    @example("9999-12-31T23:59:59-23:59")
    def test_no_timestamp_loses_the_analysis(self, value):
        """Whatever stands in a timestamp, the analysis arrives, and the moment is aware or None."""
        found = decode(minimal(created_at=value, results={"action_items": [{"due_date": value}]}))
        assert found.id == "ana_1"
        assert found.created_at is None or found.created_at.utcoffset() is not None
        assert isinstance(found.results.action_items[0].due_date, date | None)

    @given(st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001  # the zone is drawn apart
    def test_aware_moment_is_read_exactly(self, moment, minutes):
        """A moment in any zone is the same moment here."""
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        assert decode(minimal(created_at=moment.isoformat())).created_at == moment


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            ({"message": "no speech"}, "no speech"),
            ({"message": "no speech", "code": "silent", "retryable": False}, "no speech"),
            ({"message": "no speech", "code": 500}, "no speech"),
            ({"message": "no speech", "code": {"domain": "asr"}}, "no speech"),
            ({"message": None}, None),
            ({}, None),
            ("no speech", "no speech"),
            (None, None),
        ],
    )
    @pytest.mark.parametrize("revision", Revision)
    @pytest.mark.parametrize("timestamp", ["2026-03-26T11:10:00Z", "soon"], ids=["fast", "lenient"])
    def test_failed_analysis_tells_why(self, error, message, revision, timestamp):
        """An error object (A), an error text (B) or none at all: the failure arrives, with its message."""
        plain = {**minimal(error=error, created_at=timestamp), "id": revision.value + "1", "status": "failed"}
        found = decode(plain, revision)
        assert (found.is_failed, found.is_settled, found.error_message) == (True, True, message)

    def test_failed_analysis_without_an_error_field(self):
        """A failure that gives no reason is still a failure."""
        found = decode({**minimal(), "status": "failed"})
        assert (found.is_failed, found.error, found.error_message) == (True, None, None)

    def test_code_of_a_failure_is_kept(self):
        """Revision A's code is kept beside the message where it is a text."""
        found = decode({**minimal(error={"message": "no speech", "code": "silent"}), "status": "failed"})
        assert found.error == FailureDetail(message="no speech", code="silent")


def held_text(error):
    """Return all text that an error, its fields and everything it came from hold."""
    texts, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts.append(f"{error!r} {error} {error.args!r} {vars(error)!r}")
        error = error.__cause__ or error.__context__
    return " ".join(texts)


class TestWrongShape:
    @pytest.mark.parametrize("revision", Revision)
    @pytest.mark.parametrize(
        ("path", "value", "place"),
        [
            (("id",), [], "`id`"),
            (("object",), [], "`object`"),
            (("status",), [], "`status`"),
            (("id",), [None], "`id`"),
            (("status",), [None], "`status`"),
            (("id",), [5], "$.id"),
            (("id",), [{"x": CANARY}], "$.id"),
            (("object",), [5], "$.object"),
            (("object",), [CANARY], "$.object"),
            (("object",), ["session"], "$.object"),
            (("status",), [5], "$.status"),
            (("status",), [[CANARY]], "$.status"),
            (("status",), [True], "$.status"),
        ],
    )
    def test_missing_or_wrong_identity_is_named_by_path(self, revision, path, value, place):
        """Without id, object and status of the right type there is no analysis; path and type are told, no value."""
        plain = {**minimal(session_id="sess_1"), "id": revision.value + "1", "language": CANARY}
        with pytest.raises(WrongShapeError) as caught:
            decode(changed(plain, path, *value), revision)
        assert place in str(caught.value)
        assert CANARY not in held_text(caught.value)

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"null", "got `null`"),
            (b"[]", "got `array`"),
            (b'"CANARY"', "got `str`"),
            (b"12.5", "got `number`"),
            (b"7", "got `number`"),
            (b"true", "got `bool`"),
        ],
    )
    @pytest.mark.parametrize("revision", Revision)
    def test_json_that_is_no_object(self, body, text, revision):
        """JSON of another kind is a wrong shape, named by its type."""
        with pytest.raises(WrongShapeError, match=f"Expected `object`, {text}") as caught:
            decode_analysis(body, revision)
        assert CANARY not in held_text(caught.value)


class TestMalformed:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "the body is empty"),
            (b" ", "not valid JSON"),
            (b"<!doctype html><h1>CANARY</h1>", "not valid JSON"),
            (b"CANARY", "not valid JSON"),
            (b'{"id": "ana_1", "object": "analysis", "status": "complete", "x": "CANARY', "not valid JSON"),
            (b'{"id": "ana_1", "object": "analysis", "status": "complete"} CANARY', "not valid JSON"),
            (
                b'{"id": "ana_1", "object": "analysis", "status": "complete", "session_id": "CANARY\xff"}',
                "not valid UTF-8",
            ),
            (b"\xff\xfeCANARY", "not valid"),
            (b"\x00CANARY", "not valid JSON"),
            (b'{"CANARY": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
            (b'{"CANARY": ' * 100_000, "nested too deeply"),
            (b"[" * 100_000, "nested too deeply"),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    @pytest.mark.parametrize("revision", Revision)
    def test_body_that_is_no_json(self, body, reason, revision):
        """Empty, HTML, cut short, badly encoded or absurdly nested: one error, without a byte of the body."""
        with pytest.raises(MalformedBodyError, match=reason) as caught:
            decode_analysis(body, revision)
        assert CANARY not in held_text(caught.value)
        assert caught.value.__context__ is None

    @pytest.mark.parametrize(
        "number", [b"NaN", b"-Infinity", b"1e999", b"9" * 5000], ids=lambda text: text[:9].decode()
    )
    @pytest.mark.parametrize("revision", Revision)
    def test_a_number_that_json_does_not_have_costs_no_analysis(self, number, revision):
        """In a field that nobody knows it is ignored, as such a field is."""
        body = b'{"id": "ana_1", "object": "analysis", "status": "processing", "x": ' + number + b"}"
        assert decode_analysis(body, revision).id == "ana_1"
        with pytest.raises(WrongShapeError) as caught:
            decode_analysis(b'{"y": "CANARY", "x": ' + number + b"}", revision)
        assert CANARY not in held_text(caught.value)

    @pytest.mark.parametrize("cut", range(1, 124, 7))
    def test_body_cut_anywhere_is_malformed(self, cut):
        """A body cut at any byte is never taken for a whole one."""
        body = (PAYLOADS / "analysis_created.b.json").read_bytes().strip()
        with pytest.raises(MalformedBodyError):
            decode_analysis(body[:-cut], Revision.B)

    @pytest.mark.parametrize("depth", [50, 400, 1000, 5000])
    def test_deep_unknown_field_raises_nothing_but_ours(self, depth):
        """A deep part in a field we skip is read or refused, on either way of decoding, and never overflows."""
        deep = b"[" * depth + b"]" * depth
        for timestamp in (b'"2026-03-26T11:10:00Z"', b'"soon"'):
            body = b'{"id":"ana_1","object":"analysis","status":"queued","created_at":%s,"x":%s}' % (timestamp, deep)
            try:
                assert decode_analysis(body, Revision.A).id == "ana_1"
            except (MalformedBodyError, WrongShapeError) as error:
                assert "nested too deeply" in str(error)  # noqa: PT017  # either end is fine

    def test_plain_objects_are_returned_as_they_are(self):
        """Outside an analysis, a JSON object is a dict."""
        assert decode_json_object(b'{"error": {"code": "x", "param": null}}') == {"error": {"code": "x", "param": None}}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts(max_size=8)
    | st.sampled_from([10**400, -(10**400), "2026-03-26", "failed", "analysis", math.pi]),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(texts(max_size=8), parts, max_size=3),
    max_leaves=5,
)


class TestHostile:
    @given(st.binary(), st.sampled_from(Revision))
    def test_no_bytes_make_the_decoder_fail_otherwise(self, body, revision):
        """Arbitrary bytes give one of the two errors of the decoder and nothing else."""
        with pytest.raises((MalformedBodyError, WrongShapeError)):
            decode_analysis(body, revision)

    @given(st.sampled_from(list(SAMPLES)), st.data())
    def test_no_change_of_a_sample_makes_the_decoder_fail_otherwise(self, name, data):
        """A sample with any values replaced or removed decodes, or gives one of the two errors."""
        plain, revision = sample(name)
        for _ in range(data.draw(st.integers(1, 3))):
            path = data.draw(st.sampled_from(list(places(plain)) or [("id",)]))
            plain = changed(plain, path, data.draw(JSON)) if data.draw(st.booleans()) else changed(plain, path)
        try:
            found = decode(plain, revision)
        except WrongShapeError:
            return
        assert (found.id, found.object, found.status) == (plain["id"], "analysis", plain["status"])
        assert repr(found)
        assert isinstance(found.is_settled, bool)
        assert isinstance(found.summary_text, str | None)
        assert isinstance(found.error_message, str | None)

    @given(st.sampled_from(list(SAMPLES)), st.data())
    def test_no_damage_to_the_bytes_of_a_sample_makes_the_decoder_fail_otherwise(self, name, data):
        """A sample with bytes replaced, removed or put in decodes, or gives one of the two errors."""
        file, revision = SAMPLES[name]
        body = (PAYLOADS / file).read_bytes()
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(len(body), start + 12)))
        body = body[:start] + data.draw(st.binary(max_size=6)) + body[end:]
        try:
            found = decode_analysis(body, revision)
        except (MalformedBodyError, WrongShapeError):
            return
        assert found.object == "analysis"


_FROZEN = """
import datetime, sys
if sys.argv[1] == "first":
    import kallglot_async.models

class FakeDate(datetime.date):
    pass

class FakeDatetime(datetime.datetime, FakeDate):
    pass

FakeDatetime.__name__ = sys.argv[2]
fakes = {datetime.date: FakeDate, datetime.datetime: FakeDatetime}
for module in [*sys.modules.values()]:
    if module.__name__.startswith(("kallglot_async", "datetime")):
        for name, value in [*vars(module).items()]:
            if isinstance(value, type) and value in fakes:
                setattr(module, name, fakes[value])
from kallglot_async._core.api.analyses import Revision, decode_analysis

body = sys.stdin.buffer.read()
analysis = decode_analysis(body, Revision.A)
assert analysis.problems == ()
assert analysis.results.action_items[1].due_date.year == 2026
"""


@pytest.mark.parametrize(
    ("loaded", "name"), [("first", "FakeDatetime"), ("in it", "FakeDatetime"), ("in it", "datetime")]
)
def test_a_clock_that_is_frozen_as_the_first_answer_is_read_costs_nothing(loaded, name):
    """freezegun puts classes of its own into each module that has `date` or `datetime`, and a fixture may as well."""
    body = (PAYLOADS / "analysis_complete.a.json").read_bytes()
    ran = subprocess.run([sys.executable, "-c", _FROZEN, loaded, name], input=body, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr.decode()) == (0, "")
