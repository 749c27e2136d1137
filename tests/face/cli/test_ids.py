"""Where ids come from: lines are read lazily, and what is no list of ids is refused in words."""

import asyncio
import fcntl
import os
import sys
import termios

import pytest

from kallglot_async import ConfigurationError
from kallglot_async.cli.ids import lines_of, open_source


async def read(path):
    with open_source([], path) as source:
        return [id async for id in source]


async def test_blank_lines_and_comments_are_skipped(tmp_path):
    """Any line end, a byte order mark and blanks around an id do no harm."""
    file = tmp_path / "ids"
    file.write_bytes(b"\xef\xbb\xbfana_1\r\n\n  # a comment\n\t\n ana_2 \nana_3")
    assert await read(file) == ["ana_1", "ana_2", "ana_3"]


async def test_ids_may_be_in_quotes(tmp_path):
    """As `jq .id` prints them, and a column of a table; a quote that is alone is part of what is no id."""
    file = tmp_path / "ids"
    file.write_text('"ana_1"\n "ana_2" \n""\n"\n"ana_3\n')
    assert await read(file) == ["ana_1", "ana_2", '"', '"ana_3']


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_a_list_of_another_system_is_the_same_list(tmp_path, encoding, end):
    """PowerShell redirects in UTF-16, and a sheet that is saved for a Mac has its own line ends."""
    ids = [f"ana_{number:010d}" for number in range(6_000)]
    file = tmp_path / "ids"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    file.write_bytes((mark + end.join(["# für März", *ids])).encode(encoding))
    assert await read(file) == ids


async def test_a_line_may_span_the_pieces_that_are_read(tmp_path):
    """An id at the border of two pieces arrives whole."""
    ids = [f"ana_{number:010d}" for number in range(20_000)]
    file = tmp_path / "ids"
    file.write_text("\n".join(ids))
    assert await read(file) == ids


async def test_a_pipe_may_give_the_byte_order_mark_alone():
    """And whatever it gives at once, half a character or half of a line's end, is the end of nothing."""
    reading, writing = os.pipe()
    task = asyncio.ensure_future(_all_of(lines_of(reading)))
    text = "\ufeffana_1\r\nana_2\r".encode("utf-16-le")
    for piece in (text[:2], text[2:13], text[13:14], text[14:]):
        os.write(writing, piece)
        while int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, bytes(4)), sys.byteorder):  # noqa: ASYNC110 - until it is read
            await asyncio.sleep(0)
    os.close(writing)
    assert await task == ["ana_1", "ana_2"]
    os.close(reading)


async def _all_of(lines):
    return [line async for line in lines]


async def test_bytes_that_are_no_text_become_an_id_that_is_refused_later(tmp_path):
    """One odd line must not cost the others."""
    file = tmp_path / "ids"
    file.write_bytes(b"\xff\xfe\nana_1\n")
    assert await read(file) == ["\ufffd\ufffd", "ana_1"]


async def test_a_file_without_lines_is_refused(tmp_path):
    """A binary file does not fill the memory."""
    file = tmp_path / "ids"
    file.write_bytes(b"\x00" * 200_000)
    with pytest.raises(ValueError, match="not a list of ids"):
        await read(file)


async def test_a_line_is_given_before_the_next_one_is_written():
    """Lines of a pipe are there at once, not when it is closed."""
    reading, writing = os.pipe()
    try:
        lines = lines_of(reading)
        os.write(writing, b"ana_1\n")
        assert await anext(lines) == "ana_1"
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        os.write(writing, b"ana_2\n")
        assert await waiting == "ana_2"
    finally:
        os.close(writing)
        assert await anext(lines, None) is None
        os.close(reading)


async def test_a_reader_that_is_cancelled_leaves_nothing_behind():
    """What the thread reads after that is nobody's business; no error surfaces later."""
    surprises = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: surprises.append(context))
    reading, writing = os.pipe()
    waiting = asyncio.ensure_future(anext(lines_of(reading)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.close(writing)
    await asyncio.sleep(0.01)
    os.close(reading)
    assert surprises == []


async def test_a_read_that_fails_is_raised(tmp_path):
    """The system's own error, for the batch to report."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            await anext(lines_of(descriptor))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("ids", "file", "message"),
    [
        ([], None, "there are no ids"),
        (["ana_1"], "ids.txt", "more than one source"),
        ([], "/nowhere/ids.txt", "cannot read /nowhere/ids.txt: No such file"),
        ([], "-", "standard input is closed"),
    ],
)
def test_a_source_that_cannot_be_is_a_configuration_error(ids, file, message, monkeypatch):
    """Before anything is sent, and in one sentence."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ConfigurationError, match=message), open_source(ids, file):
        pass
