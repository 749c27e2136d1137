"""Values as JSON and outcomes as lines: written, read back, and refused where they are none."""

import codecs
import gzip
import io
import json
import os
import pickle
import tempfile
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import values
from support.piecemeal import Piecemeal
from support.values import analysis

from kallglot_async import ConfigurationError, errors, models, read_jsonl
from kallglot_async.models import Analysis, AnalysisStatus, Model, Outcome, Outcomes, Results, Summary
from kallglot_async.report.file import write_report
from kallglot_async.tables import export

CANARY = "CANARY"
STORED = [
    thing
    for name in models.__all__
    if isinstance(thing := getattr(models, name), type(Model)) and issubclass(thing, Model)
    if thing not in (Model, Outcome)
]


def read(outcome):
    line = outcome.to_json()
    assert b"\n" not in line
    return json.loads(line)


def test_an_analysis_is_shown_as_the_api_spells_it():
    """The line has the id, the analysis without what is absent, and what it took."""
    analysis = Analysis(id="ana_1", object="analysis", status=AnalysisStatus("paused"), session_id="sess_1")
    assert read(Outcome(id="ana_1", analysis=analysis, polls=3, elapsed=1.23456)) == {
        "id": "ana_1",
        "analysis": {"id": "ana_1", "object": "analysis", "status": "paused", "session_id": "sess_1"},
        "polls": 3,
        "elapsed": 1.23456,
    }


def test_an_error_is_shown_with_its_plain_fields():
    """The class is `type`; what the API calls `type` is `api_type`; what is not set is left out."""
    error = errors.NotFoundError("no such analysis", status=404, code="not_found", type="client", request_id="req_1")
    error.attempts = 2
    error.history = ("first", "second")
    assert read(Outcome(id="ana_1", error=error)) == {
        "id": "ana_1",
        "error": {
            "type": "NotFoundError",
            "message": "no such analysis",
            "operation": "",
            "attempts": 2,
            "history": ["first", "second"],
            "status": 404,
            "code": "not_found",
            "api_type": "client",
            "request_id": "req_1",
        },
        "polls": 0,
        "elapsed": 0.0,
    }


def test_errors_that_hold_values_show_them():
    """A failed analysis is on its error, and a batch's reason is named without its own history."""
    failed = Analysis(id="ana_1", object="analysis", status=AnalysisStatus.FAILED)
    shown = read(Outcome(id="ana_1", error=errors.AnalysisFailedError("it failed", analysis=failed)))
    assert shown["error"]["analysis"]["status"] == "failed"
    reason = errors.AuthenticationError("bad key", status=401)
    shown = read(Outcome(id="ana_1", error=errors.NotAttemptedError("not attempted", id="ana_1", reason=reason)))
    assert shown["error"]["reason"] == {"type": "AuthenticationError", "message": "bad key"}


def test_every_error_of_the_library_can_be_shown():
    """No error class has a field that JSON cannot carry."""
    for name in errors.__all__:
        error = getattr(errors, name)("why")
        assert read(Outcome(id="ana_1", error=error))["error"]["type"] == name


@pytest.mark.parametrize("umlaut", ["a", "ä"])
@pytest.mark.parametrize("mark", ["\x1b[2J", "\x7f", "\x9b31m", "\u2028", "\x85", "\u202e", "\n"])
def test_lines_hold_nothing_that_a_terminal_obeys_or_a_reader_splits_at(mark, umlaut):
    """Controls and separators are escaped, and a reader of the JSON gets them back whole."""
    line = Outcome(id="ana_1", error=errors.ServerError(f"before{mark}after {umlaut}")).to_json()
    text = line.decode()
    assert text.isprintable()
    assert len(text.splitlines()) == 1
    assert umlaut in text
    assert json.loads(text)["error"]["message"] == f"before{mark}after {umlaut}"


# Round trips


@pytest.mark.parametrize("kind", STORED)
@settings(max_examples=10)
@given(data=st.data())
def test_every_value_is_read_back_as_it_was_stored(kind, data):
    """As JSON, and what `to_dict` gives is what the JSON says."""
    value = data.draw(values(kind))
    assert kind.from_json(value.to_json()) == value
    assert value.to_dict() == json.loads(value.to_json())


def one_of(name):
    """Return an error of the class with every field set."""
    error = getattr(errors, name)("why")
    for field, default in [*vars(error).items(), *vars(type(error)).items()]:
        if field.startswith("_") or callable(default) or isinstance(default, property):
            continue
        number = 2.5 if field in ("retry_after", "timeout", "reset", "elapsed", "age") else 7
        kind = "number" if isinstance(default, int | float) else "text"
        is_number = kind == "number" or field in ("retry_after", "timeout", "limit", "reset", "status", "line")
        setattr(error, field, not default if isinstance(default, bool) else number if is_number else f"a {field}")
    for field, value in {
        "history": ("one", "two"),
        "analysis": analysis("failed", error="no"),
        "reason": errors.AuthenticationError("bad key"),
    }.items():
        if hasattr(error, field):
            setattr(error, field, value)
    if hasattr(error, "outcomes"):
        error.outcomes = None
    return error


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_read_back_as_it_was_stored(name):
    """With its class and all fields: of an error's reason, class and message."""
    outcome = Outcome(id="ana_1", error=one_of(name), polls=2, elapsed=0.1 + 0.2)
    twin = Outcome.from_json(outcome.to_json())
    assert twin == outcome
    assert hash(twin) == hash(outcome)
    assert outcome.to_dict() == twin.to_dict() == json.loads(twin.to_json())
    assert pickle.loads(pickle.dumps(outcome)) == outcome  # noqa: S301  # our own bytes


def test_an_error_of_another_version_is_one_of_the_root():
    """Its class is in the message; a field that is not known is left out, and so is what is private."""
    record = {"id": "ana_1", "error": {"type": "QuotaError", "message": "no more", "_x": 1, "until": 3, "args": []}}
    error = Outcome.from_json(json.dumps(record)).error
    assert type(error) is errors.KallglotError
    assert (str(error), vars(error)) == ("QuotaError: no more", {})
    record["error"] = {"type": "NotFoundError", "message": "gone", "new": [1], "status": 404}
    record["error"] |= {"args": ["x"], "__str__": "x", "with_traceback": "x", "__dict__": {}}
    error = Outcome.from_json(json.dumps(record)).error
    assert (error.status, str(error)) == (404, "gone (404)")
    assert vars(error).keys() == vars(errors.NotFoundError()).keys()


@pytest.mark.parametrize(
    "field",
    [
        {"status": "404"}, {"status": True}, {"status": None}, {"code": 7}, {"retry_after": "soon"}, {"history": "x"},
        {"history": [1]}, {"type": 5}, {"type": None}, {"message": {}}, {"is_enveloped": 1}, {"attempts": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_that_an_error_cannot_have_is_refused(field):
    """By its name, and before anything calls for it."""
    record = {"id": "ana_1", "error": {"type": "NotFoundError", "message": CANARY} | field}
    with pytest.raises(errors.RecordError) as caught:
        Outcome.from_json(json.dumps(record))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"5", b"{", b'{"id": "ana_1"}', b"\xff", '{"id": "\ud800"}', b'{"id": 5, "analysis": {}}',
        b'{"id": "x", "analysis": {"id": "CANARY", "object": "session", "status": "complete"}}',
        b'{"id": "x", "analysis": {"id": "CANARY", "object": "CANARY", "status": "complete"}}',
        b'{"id": "x", "analysis": {"id": "x", "object": "analysis", "status": ["CANARY"]}}',
        b'{"id": "x", "analysis": {"id": "x", "object": "analysis", "status": "complete"}, "error": {"type": "E"}}',
        b'{"id": "x", "error": []}', b'{"id": "x", "error": {}}', b'{"id": "x", "polls": NaN, "error": {"type": "E"}}',
        b'{"id": "x", "elapsed": 1e999, "error": {"type": "E"}}', b"[" * 100_000, b'{"a":' * 100_000,
        b'{"id": "x", "error": {"type": "AnalysisFailedError", "analysis": {"id": "CANARY"}}}',
        None, 5, {}, ["x"],
    ],
    ids=lambda data: repr(data)[:40],
)  # fmt: skip
def test_what_is_no_record_is_refused_and_not_quoted(data):
    """One error, whatever it is, with nothing foreign behind it."""
    with pytest.raises(errors.RecordError) as caught:
        Outcome.from_json(data)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_record_with_a_key_twice_has_the_last_one():
    """As JSON's readers agree."""
    good = '{"id": "b", "analysis": {"id": "b", "object": "analysis", "status": "complete"}}'
    assert Outcome.from_json(f'{{"id": "a", {good[1:]}').id == "b"


ODD = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"true",
    b"-1",
    b"1e999",
    b"9" * 400,
    b'"x"',
    b'"\\ud800"',
    b"\xff",
    b"NaN",
    b"[" * 900,
]
DAMAGE = st.sampled_from(ODD)


@settings(max_examples=100)
@given(name=st.sampled_from(errors.__all__), data=st.data())
def test_no_damage_makes_reading_fail_otherwise(name, data):
    """A line with any stretch of bytes replaced is an outcome, or one error."""
    line = Outcome(id="ana_1", error=one_of(name), polls=2, elapsed=0.5).to_json()
    marks = [place for place, byte in enumerate(line) if byte in b'{}[],:"']
    start = data.draw(st.sampled_from(marks))
    end = data.draw(st.sampled_from([place for place in marks if place >= start]))
    line = line[:start] + data.draw(DAMAGE | st.binary(max_size=4)) + line[end:]
    try:
        found = Outcome.from_json(line)
    except errors.RecordError as error:
        assert error.__cause__ is error.__context__ is None  # noqa: PT017  # either end is fine
    else:
        assert Outcome.from_json(found.to_json()) == found
        assert isinstance(str(found.error), str)


def test_a_reason_within_a_reason_is_read_as_it_is_stored():
    """Class and message only, however deep it goes."""
    reason = {"type": "AuthenticationError", "message": "bad key"}
    for _ in range(300):
        reason = {"type": "NotAttemptedError", "message": "over", "reason": reason}
    error = Outcome.from_json(json.dumps({"id": "ana_1", "error": reason})).error
    assert error.reason == errors.NotAttemptedError("over")


def test_half_a_character_becomes_a_question_mark():
    """An impossible id may hold one, and its outcome is stored all the same."""
    outcome = Outcome(id="ana_\ud800", error=errors.InvalidIdError("no id", id="\udfff"))
    assert outcome.to_dict() == {
        "id": "ana_?", "error": {"type": "InvalidIdError", "message": "no id", "id": "?"}, "polls": 0, "elapsed": 0.0,
    }  # fmt: skip
    assert Analysis.from_json(analysis(session_id="\ud800").to_json()).session_id == "?"


# Outcomes


BAD = Outcome(id="ana_2", error=errors.NotFoundError("gone", status=404))
GOOD = Outcome(id="ana_1", analysis=analysis(results=Results(compliance={"a": [1]})), polls=3, elapsed=1.5)
ALL = Outcomes([GOOD, BAD])


def test_outcomes_are_records_and_an_array():
    """What each outcome is by itself."""
    assert ALL.to_records() == json.loads(ALL.to_json()) == [GOOD.to_dict(), BAD.to_dict()]
    assert Outcomes().to_json() == b"[]"


@pytest.mark.parametrize("kind", ["path", "text path", "bytes", "text"])
def test_lines_are_read_back(tmp_path, kind):
    """From a path or a file object of either kind; an older file is replaced, a file object is not closed."""
    path = tmp_path / "outcomes.jsonl"
    path.write_text("older\n" * 9)
    if "path" in kind:
        target = path if kind == "path" else str(path)
        ALL.to_jsonl(target)
        found = Outcomes(read_jsonl(target))
        assert path.read_bytes().count(b"\n") == 2
    else:
        file = io.BytesIO() if kind == "bytes" else io.StringIO()
        ALL.to_jsonl(file)
        file.seek(0)
        found = Outcomes(read_jsonl(file))
        assert not file.closed
    assert found == ALL


class Named:
    """A path of another library, such as pytest's `tmpdir`, which has methods of files too."""

    def __init__(self, path):
        self.path = str(path)

    def __fspath__(self):
        return self.path

    def write(self, text):
        Path(self.path).write_text(text)


def test_whatever_names_a_path_is_one(tmp_path):
    """As to Python's own functions; its methods are not asked for."""
    ALL.to_jsonl(Named(tmp_path / "x.jsonl"))
    assert Outcomes(read_jsonl(Named(tmp_path / "x.jsonl"))) == ALL
    ALL.to_csv(Named(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_bytes().count(b"\n") == 1 + len(ALL)
    assert write_report(ALL, Named(tmp_path / "x.html")).read_bytes().endswith(b"</html>\n")
    assert export(ALL, Named(tmp_path / "y.csv"))["analyses"].read_bytes() == (tmp_path / "x.csv").read_bytes()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_lines_that_windows_redirected_are_read_back(tmp_path, encoding):
    """`kallglot wait ... > outcomes.jsonl` in a PowerShell writes UTF-16, with a mark and its own line ends."""
    text = "".join(f"{line}\r\n" for line in (GOOD.to_json().decode(), BAD.to_json().decode()))
    (tmp_path / "x").write_bytes(("\ufeff" * (encoding == "utf-16-be") + text).encode(encoding))
    assert Outcomes(read_jsonl(tmp_path / "x")) == ALL
    with (tmp_path / "x").open("rb") as file:
        assert Outcomes(read_jsonl(file)) == ALL
        assert not file.closed


def test_lines_of_windows_may_come_through_a_pipe(tmp_path):
    """Which gives the byte-order mark alone where the writer wrote that alone."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb", buffering=0) as other:
        other.write(codecs.BOM_UTF16_LE)
        assert file.peek() == codecs.BOM_UTF16_LE
        other.write(f"{GOOD.to_json().decode()}\r\n".encode("utf-16-le"))
        other.close()
        assert list(read_jsonl(file)) == [GOOD]


@pytest.mark.parametrize("cut", ["{\ud800}", '{"id": "ana_\ud800"}', "{"], ids=["half", "half an id", "cut"])
def test_a_line_of_utf_16_that_is_no_text_is_named(tmp_path, cut):
    """As one of UTF-8 is: the error is ours, has the number of the line, and quotes nothing."""
    text = f"\ufeff{GOOD.to_json().decode()}\n{cut}\n"
    (tmp_path / "x").write_bytes(text.encode("utf-16-le", "surrogatepass") + b"\0")
    with pytest.raises(errors.RecordError, match=r"^line 2 cannot be read: ") as caught:
        list(read_jsonl(tmp_path / "x"))
    assert caught.value.line == 2
    assert "ana_" not in str(caught.value)


def test_wrappers_of_text_files_get_text(tmp_path):
    """Those of `tempfile` and `codecs` are no class of `io`; type checkers take them for what they are."""
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as file:
        ALL.to_jsonl(file)
        file.seek(0)
        assert Outcomes(read_jsonl(file)) == ALL
    with codecs.open(str(tmp_path / "x"), "w", encoding="utf-8") as file:
        ALL.to_jsonl(file)
    assert Outcomes(read_jsonl(tmp_path / "x")) == ALL


def test_a_file_without_a_buffer_gets_all_of_it():
    """It may take less than it is given, and says so; a disk that is full refuses what is given then."""
    file, expected = Piecemeal(), io.BytesIO()
    for write in (ALL.to_jsonl, ALL.to_csv):
        write(file)
        write(expected)
    assert file.written == expected.getvalue()
    for write in (ALL.to_jsonl, ALL.to_csv):
        with pytest.raises(OSError, match="No space left"):
            write(Piecemeal(room=100))
    for write in (ALL.to_jsonl, ALL.to_csv):
        with pytest.raises(BlockingIOError, match="the file object takes nothing now: pass one that blocks"):
            write(Stuck())


class Stuck(io.RawIOBase):
    def write(self, data):
        return None


async def test_a_file_that_is_awaited_is_refused(tmp_path):
    """Nobody would await it, and it would stay empty."""
    async with await anyio.open_file(tmp_path / "x", "wb") as file:
        for call in (ALL.to_jsonl, read_jsonl, ALL.to_csv):
            with pytest.raises(ConfigurationError, match="nobody awaits, not AsyncFile"):
                call(file)


@pytest.mark.parametrize("old", [None, b"older"], ids=["new", "replaced"])
def test_lines_that_end_early_leave_what_was_there(tmp_path, old):
    """An outcome that cannot be encoded, as a full disk, takes neither the older file nor leaves half of another."""
    path = tmp_path / "outcomes.jsonl"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(TypeError):
        Outcomes([GOOD, Outcome(id="ana_x", error=errors.NotAttemptedError("x"), elapsed=object())]).to_jsonl(path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if old is None else [old])


def test_lines_are_what_a_file_gives_as_lines():
    """Not what it gives to who goes through it: those of storages on the network give pieces of a size then."""

    class Streaming(io.BytesIO):
        def __next__(self):
            if piece := self.read(7):
                return piece
            raise StopIteration

    stored = io.BytesIO()
    ALL.to_jsonl(stored)
    assert Outcomes(read_jsonl(Streaming(stored.getvalue()))) == ALL


def test_lines_are_read_one_by_one():
    """Nothing behind the line that is asked for, so that a file of millions is no matter of memory."""

    class Endless(io.RawIOBase):
        def readline(self, size=-1):
            return GOOD.to_json() + b"\n"

    lines = read_jsonl(Endless())
    assert [next(lines) for _ in range(3)] == [GOOD] * 3


@pytest.mark.parametrize("cut", [b"", b"{", b'{"id": "CANARY', b"\xff\xfe"])
def test_a_line_that_is_none_is_named(cut):
    """By its number, with the lines before it delivered; empty lines and a byte-order mark are nothing."""
    lines = read_jsonl(io.BytesIO(b"\xef\xbb\xbf" + GOOD.to_json() + b"\r\n\n" + cut))
    assert next(lines) == GOOD
    if not cut:
        assert list(lines) == []
        return
    with pytest.raises(errors.RecordError, match=r"^line 3 cannot be read") as caught:
        next(lines)
    assert caught.value.line == 3
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("file", [None, 5, b"path", [b"{}"], object()])
def test_what_is_no_file_is_refused_at_once(file):
    """Before anything is read or written."""
    with pytest.raises(errors.ConfigurationError, match="path or a file object"):
        read_jsonl(file)
    with pytest.raises(errors.ConfigurationError, match="path or a file object"):
        ALL.to_jsonl(file)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    """As Python says it."""
    with pytest.raises(FileNotFoundError):
        list(read_jsonl(tmp_path / "none.jsonl"))
    with pytest.raises(FileNotFoundError):
        ALL.to_jsonl(tmp_path / "none" / "x.jsonl")


def test_no_other_encoding_is_needed():
    """What a value encodes to with msgspec itself is what `to_json` gives, where nothing has to be escaped."""
    value = analysis(results=Results(summary=Summary(brief="fine")))
    assert value.to_json() == msgspec.json.encode(value)


def test_a_file_that_is_compressed_is_said_to_be(tmp_path):
    """What is unpacked on the way is read; the file itself is no text."""
    stored = [Outcome(id="ana_1", error=errors.NotFoundError("gone"))]
    with gzip.open(tmp_path / "outcomes.jsonl.gz", "wb") as file:
        Outcomes(stored).to_jsonl(file)
    with pytest.raises(errors.RecordError, match=r"^line 1 cannot be read: it is compressed: unpack it"):
        next(read_jsonl(tmp_path / "outcomes.jsonl.gz"))
    with gzip.open(tmp_path / "outcomes.jsonl.gz") as file:
        assert list(read_jsonl(file)) == stored
