"""What a body of an impossible type costs, what nobody knows of it, and what it keeps: for every kind of body."""

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import more, texts
from support.payloads import PAYLOADS, changed, places
from support.slow import beyond

from kallglot_async._core.api.analyses import Revision, decode_analysis
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError
from kallglot_async._core.api.recordings import decode_recording, decode_recording_page
from kallglot_async._core.api.sessions import decode_session, decode_transcript
from kallglot_async.models import Outcome, ResponseMeta, Result
from kallglot_async.models.meta import kept_of

CANARY = "CANARY"


def as_a(body: bytes) -> Result:
    return decode_analysis(body, Revision.A)


def as_b(body: bytes) -> Result:
    return decode_analysis(body, Revision.B)


TOLD = ResponseMeta(status=200, request_id="req_CANARY", elapsed=0.5)


def fetched(decode: Any) -> Any:
    """Return the decoder, whose values know their body as if they had come over the wire."""

    def decode_and_keep(body: bytes) -> Result:
        value: Result = decode(body)
        kept_of(value).update(told=TOLD, raw=body)
        return value

    return decode_and_keep


KINDS: dict[str, Any] = {
    "analysis_complete.a": as_a,
    "analysis_completed.b": as_b,
    "analysis_created.a": as_a,
    "session_created.b": decode_session,
    "transcript.a": decode_transcript,
    "transcript.b": decode_transcript,
    "recording.b": decode_recording,
    "recordings.b": decode_recording_page,
}
KINDS = {name: fetched(decode) for name, decode in KINDS.items()}
get_a = KINDS["analysis_complete.a"]


def sample(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_bytes())


def is_identity(name: str, path: tuple[Any, ...]) -> bool:
    if name == "recordings.b" and path[0] == "data":
        return path[2:] in {(), ("id",), ("object",), ("status",)}
    own = "session_id" if name.startswith("transcript") else "data" if name == "recordings.b" else "id"
    return path in {(own,), ("object",), ("status",)}


OPTIONAL = [(name, path) for name in KINDS for path in places(sample(name)) if not is_identity(name, path)]


def written(path: tuple[Any, ...]) -> str:
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


def is_free(name: str, path: tuple[Any, ...]) -> bool:
    """Whether anything fits: the shape of metadata of a session is its user's."""
    return name == "session_created.b" and path[0] == "metadata"


@pytest.mark.parametrize(("name", "path"), OPTIONAL, ids=lambda part: part if isinstance(part, str) else written(part))
def test_a_part_of_an_impossible_type_costs_itself_only(name: str, path: tuple[Any, ...]) -> None:
    """It reads as if it had not been sent, its path is told, and the rest is as it was; at every level."""
    plain, decode = sample(name), KINDS[name]
    wrong = decode(json.dumps(changed(plain, path, True)).encode())
    if is_free(name, path):
        assert wrong.problems == ()
        return
    if isinstance(plain_at(plain, path), bool):
        wrong = decode(json.dumps(changed(plain, path, "yes")).encode())
    assert wrong == decode(json.dumps(changed(plain, path)).encode())
    assert wrong.problems == (written(path),)


def plain_at(plain: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        plain = plain[key]
    return plain


HOSTILE = [
    b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"-" + b"9" * 400, b'"\\ud800"', b'"\\udfff' + CANARY.encode() + b'"',
    b"[]", b"{}", b"[[]]", b'[{"a":null}]', b'{"id":{}}', b"null", b"true", b"0", b'""', b"[" * 400 + b"]" * 400,
    b'{"a":' * 400 + b"1" + b"}" * 400, b'{"x":1,"x":2}', b'"0000-00-00"', b'"\\u0000"',
]  # fmt: skip


@pytest.mark.untraced
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:24])
@pytest.mark.parametrize("name", beyond(3, KINDS))
def test_no_hostile_part_costs_more_than_itself(name: str, value: bytes) -> None:
    """Whatever stands anywhere but in the identity: the value is there, its other parts too, and it can be stored."""
    plain, decode = sample(name), KINDS[name]
    for path in places(plain):
        if is_identity(name, path):
            continue
        body = json.dumps(changed(plain, path, "HOLE")).encode().replace(b'"HOLE"', value)
        found = decode(body)
        assert found.object == plain["object"]
        assert found.raw == body
        assert all(written(path).startswith(problem[: len(written(path))]) for problem in found.problems)
        assert isinstance(found.extra, dict)
        assert CANARY not in repr(found.problems)
        assert type(found).from_json(found.to_json()) == found
        assert hash(found) == hash(decode(body))


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:24])
@pytest.mark.parametrize("name", KINDS)
def test_a_hostile_identity_is_an_error_that_quotes_nothing(name: str, value: bytes) -> None:
    """By its path; a text, even a broken one, may be an id, as nobody knows what ids look like."""
    plain, decode = sample(name), KINDS[name]
    for path in filter(lambda path: is_identity(name, path), places(plain)):
        body = json.dumps(changed(plain, path, "HOLE")).encode().replace(b'"HOLE"', value)
        if value.startswith(b'"') and path[-1] != "object":
            continue
        if path[0] == "data" and (value == b"null" or (len(path) == 1 and value == b"[]")):
            continue
        with pytest.raises((WrongShapeError, MalformedBodyError)) as caught:
            decode(body)
        assert CANARY not in str(caught.value)
        if isinstance(caught.value, WrongShapeError):
            assert str(path[-1]) in str(caught.value)


@pytest.mark.parametrize(
    ("body", "is_foreign"),
    [
        (b'{"detail":"Please log in"}', True),
        (b'{"id":"ana_1","detail":"Please log in"}', False),
        (b'{"id":"ana_1","object":"analysis"}', False),
    ],
)
def test_an_object_without_any_identity_is_somebody_elses(body: bytes, is_foreign: bool) -> None:
    """One that lacks a part of it is the API's, which has changed."""
    with pytest.raises(WrongShapeError) as caught:
        as_a(body)
    assert caught.value.is_foreign is is_foreign


def test_a_field_given_twice_is_the_last_one() -> None:
    """On either way of decoding."""
    for moment in ("2026-03-26T11:10:00Z", "soon"):
        body = (
            b'{"id":"ana_1","object":"analysis","status":"queued","session_id":"a","session_id":"b","created_at":"%s"}'
        )
        value: Any = as_a(body % moment.encode())
        assert value.session_id == "b"


@pytest.mark.parametrize("depth", [300, 700, 900, 960, 990])
def test_a_part_that_is_nested_too_deeply_costs_no_more_than_itself(depth: int) -> None:
    """Where JSON can be read at all."""
    deep = b"[" * depth + b"]" * depth
    body = b'{"id":"ana_1","object":"analysis","status":"complete","created_at":"soon","results":{"compliance":%s}}'
    try:
        value: Any = get_a(body % deep)
    except MalformedBodyError as error:
        assert "nested too deeply" in str(error)  # noqa: PT017  # either end is fine
        return
    assert value.problems[0] == "$.results.compliance" or value.results.compliance is not None
    assert value.problems[-1] == "$.created_at"
    assert isinstance(value.extra, dict)


def test_several_problems_are_told_in_order() -> None:
    """Also an element that is left out of its list, and a number that is none."""
    body = b"""{"id": "ana_1", "object": "analysis", "status": "complete", "created_at": "soon", "completed_at": 1e300,
        "results": {"quality": {"score": "85", "hold_time": NaN, "interruptions": true},
        "topics": [{"name": "a"}, 5, null, {"name": ["b"], "confidence": 1}],
        "action_items": [{"due_date": "next week", "priority": 1}]}}"""
    value: Any = as_a(body)
    assert [topic.name for topic in value.results.topics] == ["a", None]
    assert set(value.problems) == {
        "$.created_at",
        "$.completed_at",
        "$.results.quality.score",
        "$.results.quality.hold_time",
        "$.results.quality.interruptions",
        "$.results.topics[1]",
        "$.results.topics[3].name",
        "$.results.action_items[0].due_date",
        "$.results.action_items[0].priority",
    }


@pytest.mark.parametrize("name", KINDS)
def test_what_nobody_knows_is_reachable_at_every_level(name: str) -> None:
    """In the place where the body has it, and without a trace in the value itself."""
    plain, decode = sample(name), KINDS[name]
    assert decode(json.dumps(plain).encode()).extra == {}
    spots = [(), *places(plain)]
    for path in spots:
        if not isinstance(plain_at(plain, path), dict) or (path[:1] == ("metadata",) and name == "session_created.b"):
            continue
        grown = changed(plain, (*path, "x_new"), {"deep": [1, None]})
        value = decode(json.dumps(grown).encode())
        assert plain_at(value.extra, (*path, "x_new")) == {"deep": [1, None]}
        assert value == decode(json.dumps(plain).encode())
        assert b"x_new" not in value.to_json()


def test_a_list_stands_beside_a_list() -> None:
    """With an object for each element, so that the two can be read together."""
    topics = [{"name": "a"}, {"name": "b", "x": 1}]
    body = {
        "id": "ana_1",
        "object": "analysis",
        "status": "complete",
        "results": {"topics": topics},
        "report": {"y": 2},
    }
    assert get_a(json.dumps(body).encode()).extra == {"results": {"topics": [{}, {"x": 1}]}, "report": {"y": 2}}


def test_a_body_with_a_mark_or_nan_has_its_rest_too() -> None:
    """What only the lenient path can read."""
    body = b'\xef\xbb\xbf{"id":"ana_1","object":"analysis","status":"complete","x":NaN,"y":[1]}'
    assert get_a(body).extra == {"x": None, "y": [1]}


def test_the_rest_is_read_once() -> None:
    """And kept."""
    value = get_a(b'{"id":"ana_1","object":"analysis","status":"complete","x":[1]}')
    assert value.extra is value.extra


BODY = b'{"id":"ana_1","object":"analysis","status":"complete","x":[1],"created_at":"soon"}'


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])  # noqa: S301
def test_copies_keep_what_was_paid_for(twin: Any) -> None:
    """Body, unknown fields and problems; in another process too."""
    value = get_a(BODY)
    other = twin(value)
    assert (other.raw, other.extra, other.problems) == (BODY, {"x": [1]}, ("$.created_at",))
    assert other == value
    assert hash(other) == hash(value)


def test_the_body_is_no_part_of_the_value() -> None:
    """Neither for equality and hash, nor in anything that shows or encodes fields; and it is the very same object."""
    value, twin = get_a(BODY), get_a(BODY + b" ")
    assert value.raw is BODY
    assert value == twin
    assert hash(value) == hash(twin)
    shown = {"id": "ana_1", "object": "analysis", "status": "complete"}
    assert vars(value) == value.to_dict() == msgspec.to_builtins(value) == shown
    assert msgspec.structs.asdict(value).keys() == set(value.__struct_fields__)
    outcome = Outcome(id="ana_1", analysis=value)
    assert vars(outcome)["analysis"] == shown
    for text in (repr(vars(value)), repr(value), repr(msgspec.structs.asdict(value)), repr(dir(value))):
        assert "req_CANARY" not in text
        assert "told" not in text


def test_a_client_may_not_want_the_body() -> None:
    """Then there is none, and nothing unknown; what could not be read is told all the same."""
    value = as_a(BODY)
    kept_of(value)["told"] = TOLD
    assert (value.raw, value.extra, value.problems) == (None, {}, ("$.created_at",))
    assert value.meta is not None


def test_a_value_of_ones_own_has_none_of_this() -> None:
    """Nor one that was stored."""
    value = type(get_a(BODY)).from_json(get_a(BODY).to_json())
    assert (value.raw, value.extra, value.problems, value.meta) == (None, {}, (), None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts(max_size=6)
    | st.sampled_from([10**400, "2026-03-26"]),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(texts(max_size=6), parts, max_size=3),
    max_leaves=5,
)


@more(2)
@given(name=st.sampled_from(list(KINDS)), data=st.data())
def test_no_change_outside_of_the_identity_loses_the_value(name: str, data: st.DataObject) -> None:
    """Any JSON in any place, several times over."""
    plain = sample(name)
    for _ in range(data.draw(st.integers(1, 3))):
        spots = [path for path in places(plain) if not is_identity(name, path)]
        if spots:
            path = data.draw(st.sampled_from(spots))
            plain = changed(plain, path, data.draw(JSON)) if data.draw(st.booleans()) else changed(plain, path)
    value = KINDS[name](json.dumps(plain).encode())
    assert isinstance(value.extra, dict)
    assert type(value).from_json(value.to_json()) == value
