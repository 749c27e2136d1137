"""Ids: what is let into a path, and which revision a prefix means."""

import io
import tempfile
import types
import unittest.mock
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import CHARACTERS, texts

from kallglot_async._checks import check_recording_id, check_session_id, check_text, is_text
from kallglot_async._core.api.analyses import Revision, check_analysis_id, revision_of
from kallglot_async.errors import ConfigurationError, InvalidIdError

# What could leave its path segment, cut the path, split a header, or is no id at all.
IMPOSSIBLE = [
    "",
    " ",
    "../admin",
    "ana_../admin",
    "ana_1/../../admin",
    "ana_1?x=1",
    "ana_1#x",
    "ana_1%2e",
    "ana_1.json",
    "ana_1\r\nX-Evil: 1",
    "ana_1\n",
    "\nana_1",
    "ana_1 ",
    "ana_1\x00",
    "ana_" + "x" * 125,
    "ana_١٢٣",  # Arabic digits, which str.isdigit accepts
    "ana_１",  # noqa: RUF001  # full-width digit
    "ana_é",
    "ana_\ud800",
    b"ana_1",
    None,
    5,
    5.0,
    True,
    ["ana_1"],
    3.5,
]


@pytest.mark.parametrize(
    ("id", "revision"),
    [
        ("ana_01HDEF456789012", Revision.A),
        ("anl_01HDEF456789012", Revision.B),
        ("ana_1", Revision.A),
        ("anl_a-b_C", Revision.B),
        ("ana_" + "x" * 124, Revision.A),
        ("ana_anl_1", Revision.A),
    ],
)
def test_prefix_decides_the_revision(id, revision):
    """`ana_` is revision A and `anl_` revision B, up to 128 characters, and nothing else decides."""
    assert revision_of(check_analysis_id(id)) is revision


@pytest.mark.parametrize(("check", "prefix"), [(check_analysis_id, "anl_"), (check_session_id, "sess_")])
@pytest.mark.parametrize("id", IMPOSSIBLE, ids=ascii)
def test_text_that_could_leave_its_path_segment_is_refused(check, prefix, id):
    """Nothing outside `[A-Za-z0-9_-]{1,128}` gets near a URL, whatever prefix it has."""
    with pytest.raises(InvalidIdError):
        check(id)
    if isinstance(id, str):
        with pytest.raises(InvalidIdError):
            check(id.replace("ana_", prefix))


@pytest.mark.parametrize(("check", "prefix"), [(check_analysis_id, "ana_"), (check_session_id, "sess_")])
def test_id_has_128_characters_at_most(check, prefix):
    """The longest id that is accepted, and the one that is a character longer."""
    check(prefix + "x" * (128 - len(prefix)))
    with pytest.raises(InvalidIdError):
        check(prefix + "x" * (129 - len(prefix)))


@pytest.mark.parametrize("id", ["ana_", "anl_", "ana", "ANA_1", "an_1", "sess_1", "rec_1", "xana_1", "1", "-"])
def test_other_kinds_are_no_analysis(id):
    """An id without a known prefix, or with nothing behind it, is refused, and the error says what is expected."""
    with pytest.raises(InvalidIdError, match="ana_ or anl_"):
        check_analysis_id(id)


def test_a_prefix_alone_is_told_what_it_lacks():
    """It does start as it should."""
    for check, id in ((check_analysis_id, "anl_"), (check_session_id, "sess_")):
        with pytest.raises(InvalidIdError, match="and go on after that"):
            check(id)


@pytest.mark.parametrize("id", ["sess_", "sess", "ana_1", "SESS_1", "xsess_1"])
def test_other_kinds_are_no_session(id):
    """A create takes the id of a session and of nothing else."""
    with pytest.raises(InvalidIdError, match="sess_"):
        check_session_id(id)


def test_session_id_is_returned_as_it_was_given():
    """A session's id is used to the letter."""
    assert check_session_id("sess_01HXYZ123456789") == "sess_01HXYZ123456789"


def test_error_is_a_configuration_error_with_the_value():
    """The value is on the error, and the error is a `ValueError` for those who know nothing of us."""
    with pytest.raises(InvalidIdError) as caught:
        check_analysis_id("sess_1")
    assert "sess_1" in caught.value.id
    assert "sess_1" in caught.value.message
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize("id", ["ana_1\nforged log line", "ana_\x1b[31m", "ana_\u202e", "ana_\ud800", "x" * 10_000])
def test_error_is_one_short_printable_line(id):
    """What a caller passed on from elsewhere cannot forge a log line, colour a terminal or fill a disk."""
    with pytest.raises(InvalidIdError) as caught:
        check_analysis_id(id)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_foreign_object_shows_its_type_only():
    """The `repr` of an object that is no id, which may be long or secret, is not shown."""

    class Customer:
        def __repr__(self):
            return "phone +41 44 000 00 00"

    with pytest.raises(InvalidIdError, match="Customer") as caught:
        check_analysis_id(Customer())
    assert "phone" not in str(caught.value)


@pytest.mark.parametrize("check", [check_analysis_id, check_session_id])
@pytest.mark.parametrize("around", ["{}", " {}\n", "Bearer {}", "export KALLGLOT_API_KEY='{}'"])
@pytest.mark.parametrize("key", ["sk_live_s3cr3t", "sk_test_s3cr3t"])
def test_key_that_was_given_as_an_id_is_not_shown(check, key, around):
    """Arguments in the wrong order do not put the API key into a log, nor does a file of settings that holds no ids."""
    key = around.format(key)
    with pytest.raises(InvalidIdError) as caught:
        check(key)
    assert "s3cr3t" not in f"{caught.value!r} {vars(caught.value)}"


class Wrapped(str):
    """A text that is written as another, as the members of an enumeration are."""

    __slots__ = ()

    def __str__(self):
        return "CANARY"

    def __format__(self, spec):
        return "CANARY"


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (check_analysis_id, "anl_1"),
        (check_session_id, "sess_1"),
        (check_recording_id, "rec_1"),
        (partial(check_text, "profile"), "sales"),
    ],
)
def test_what_is_more_than_a_text_is_taken_as_the_text_that_it_holds(check, text):
    """An array of numpy's has texts of its own, which msgspec takes apart: they would be stored letter by letter."""
    assert check(text) is text
    found = check(Wrapped(text))
    assert type(found) is str
    assert found == text


def test_so_is_what_is_none():
    """Its outcome goes by it, and is stored as well."""
    with pytest.raises(InvalidIdError) as caught:
        check_session_id(Wrapped("ana_1"))
    assert type(caught.value.id) is str


@pytest.mark.parametrize("id", ["task_test_1", "disk_live_2"])
def test_what_only_ends_as_a_key_begins_is_shown(id):
    """Two such ids of a batch are two."""
    with pytest.raises(InvalidIdError) as caught:
        check_analysis_id(id)
    assert caught.value.id == id


@pytest.mark.parametrize("id", ["ana_1\n", " ana_1", "ana_1\r\n", "anl_1\t"])
def test_what_a_line_of_a_file_has_around_an_id_is_said(id):
    """`wait_many(open("ids.txt"))` gives lines with their ends: the remedy is not the alphabet."""
    with pytest.raises(InvalidIdError, match="strip the blanks and line ends") as caught:
        check_analysis_id(id)
    assert caught.value.id == id


def test_number_too_long_to_print_is_refused_like_any_other():
    """An integer that Python refuses to print is an `InvalidIdError` too."""
    with pytest.raises(InvalidIdError):
        check_analysis_id(10**5000)


@given(texts() | st.from_regex(r"an[al]_[\w./?#%-]{0,140}\n?", fullmatch=True, alphabet=CHARACTERS))
def test_accepted_ids_are_one_plain_path_segment(id):
    """Whatever text comes: it is refused, or it is 5 to 128 harmless characters behind a known prefix."""
    try:
        checked = check_analysis_id(id)
    except InvalidIdError:
        return
    assert checked == id
    assert id.startswith(revision_of(checked).value)
    assert 5 <= len(id) <= 128
    assert set(id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def test_a_file_of_text_has_an_encoding():
    """Wrappers of files of bytes may have a place for one, which is empty, or answer to any name."""
    with tempfile.NamedTemporaryFile("w") as text, tempfile.NamedTemporaryFile("wb") as raw:
        assert is_text(text)
        assert is_text(io.StringIO())
        assert not is_text(raw)
    assert not is_text(types.SimpleNamespace(encoding=None))
    assert not is_text(unittest.mock.MagicMock())
