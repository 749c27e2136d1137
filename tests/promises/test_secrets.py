"""The key and what was said in a call appear nowhere: whatever fails, and wherever one looks afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support.slow import beyond
from support.virtual import run
from support.wire_faults import Connection, RawServer, Script, analysis, answer, closing, silent

from kallglot_async import KallglotClient, KallglotError, Outcomes
from kallglot_async.emulator import Emulator, Fault, Latency

KEY = "sk_test_canary_7f3a9c"
SAID = "my card ends in 4111"  # stands for what was said in a call
BODY = analysis(results={"summary": {"brief": SAID, "key_points": [SAID]}, "action_items": [{"description": SAID}]})
ECHO = f'{{"error": {{"type": "x", "code": "{KEY}", "message": "bad key {KEY}", "param": "{KEY}"}}}}'.encode()


async def throttled(connection: Connection) -> None:
    """Refuse the first request, whoever asks: a batch outlasts refusals."""
    is_first = len(connection.server.requests) == 1
    refusal = answer(ECHO, "Retry-After: 5", f"X-Request-ID: {KEY}", status="429 Slow")
    await connection.send(refusal if is_first else answer(BODY))


# What a server may do with an answer that holds call text, or with the key that it was sent.
SCRIPTS: dict[str, Script] = {
    "complete": answer(BODY),
    "cut body": closing(answer(BODY, length=len(BODY) + 9)),
    "reset in the body": closing(answer(BODY, length=len(BODY) + 9), reset=True),
    "broken JSON": answer(BODY[:-3]),
    "bad UTF-8": answer(BODY.replace(b"4111", b"\x80\xfe")),
    "wrong shape": answer(BODY.replace(b'"complete"', b"[]")),
    "a status of call text": answer(analysis(status=[SAID], results={"summary": SAID})),
    "a field of call text": answer(analysis(object=SAID, created_at=SAID)),
    "an enum of call text": answer(analysis(results={"action_items": [{"due_date": SAID}], "topics": SAID})),
    "another analysis": answer(analysis("ana_2", results={"summary": {"brief": SAID}})),
    "a list": answer(b'["' + SAID.encode() + b'"]'),
    "deep nesting": answer(b'{"a":' * 5000 + b'"' + SAID.encode() + b'"' + b"}" * 5000),
    "too large": answer(BODY + b" " * 70_000),
    "bad chunk": answer(b"zz\r\n" + BODY, "Transfer-Encoding: chunked"),
    "bad gzip": answer(BODY, "Content-Encoding: gzip"),
    "no HTTP": closing(BODY),
    "closed": closing(),
    "reset": closing(reset=True),
    "silent": silent,
    "401": answer(ECHO, status="401 No"),
    "403": answer(ECHO, f"X-Request-ID: {KEY}", status="403 No"),
    "422": answer(ECHO, status=f"422 {KEY}"),
    "429": throttled,
    "500": answer(ECHO, f"Retry-After: {KEY}", f"Date: {KEY}", status="500 Oops"),
    "a page": answer(f"<html>{KEY} {SAID}</html>".encode(), status="502 Bad"),
    "302": answer(b"", f"Location: http://127.0.0.1:9/{KEY}", status="302 Found"),
    "cookies": answer(BODY, f"Set-Cookie: a={KEY}; Max-Age=x", f"X-{KEY}: {KEY}"),
}

CALLS: dict[str, Callable[[KallglotClient], Any]] = {
    "retrieve": lambda client: client.analyses.retrieve("ana_1"),
    "create": lambda client: client.analyses.create("sess_1", analyses=["summary"]),
    "wait": lambda client: client.wait("ana_1", timeout=20.0),
    "wait_many": lambda client: client.wait_many(["ana_1"], timeout=20.0),
    "retrieve_many": lambda client: client.analyses.retrieve_many(["ana_1"]),
}


def texts_of(error: BaseException) -> list[str]:
    """Return everything that may be shown of an exception, by a logger, a debugger or an error tracker."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = [repr(error), str(error), repr(error.args), repr(vars(error)), *shown.format()]
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # made in this line
    for other in (again, copy.copy(error), copy.deepcopy(error)):
        texts += [repr(other), repr(vars(other))]
    texts.append(pickle.dumps(error, protocol=0).decode("latin-1"))
    return texts


def hidden(text: str) -> bool:
    return KEY not in text and SAID not in text and "canary" not in text


def pairs() -> list[Any]:
    """Every script with every call; each with one of them in every run, with the others where there is time."""
    calls = ("retrieve", "create", "wait_many")
    return [
        pytest.param(name, call, marks=[pytest.mark.slow] * (calls[place % 3] != call))
        for place, name in enumerate(SCRIPTS)
        for call in calls
    ]


@pytest.mark.parametrize(("name", "call"), pairs())
def test_no_failure_shows_the_key_or_what_was_said(name: str, call: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the error in any form, not in a log of anybody's, not in a warning, and not in what is still alive."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    async def main() -> None:
        async with (
            RawServer(SCRIPTS[name]) as server,
            KallglotClient(
                KEY, base_url=server.base_url, timeout=10.0, max_response_bytes=65_536, random=lambda: 0.0
            ) as client,
        ):
            try:
                found = await CALLS[call](client)
            except KallglotError as error:
                shown.extend(texts_of(error))
            else:
                shown.append(repr(found))
                if isinstance(found, Outcomes):
                    shown.extend(repr(outcome) for outcome in found)
                    shown.extend(text for error in found.errors.values() for text in texts_of(error))
            shown.extend(map(repr, (client, client.stats, client.rate_limit, client.analyses, vars(client))))
            shown.extend(repr(task) for task in asyncio.all_tasks())
            assert server.requests, "it was asked"
        gc.collect()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(main, debug=True)
    shown += [str(warning.message) for warning in warned]
    shown += [record.getMessage() + repr(record.args) + repr(record.exc_text) for record in caplog.records]
    assert caplog.records, "asyncio's debug mode says something"
    for text in shown:
        assert hidden(text), text[:2000]


def test_a_client_is_not_pickled_with_its_key() -> None:
    """Copying a client to another process would copy the key: it is refused, without showing it."""
    client = KallglotClient(KEY)
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            attempt(client)
        assert hidden(str(caught.value))


def test_an_unclosed_client_warns_without_its_key() -> None:
    """The warning names the server and the remedy only."""

    async def main() -> None:
        async with RawServer(answer(BODY)) as server:
            client = KallglotClient(KEY, base_url=server.base_url)
            await client.analyses.retrieve("ana_1")
            del client
            gc.collect()
            await asyncio.sleep(0.1)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(main, debug=True)
    texts = [str(warning.message) for warning in warned]
    assert any("aclose()" in text for text in texts)
    assert all(hidden(text) for text in texts)


def test_an_impossible_id_that_is_the_key_is_not_shown() -> None:
    """Passing the key where an id belongs is a slip that must not end up in a log."""

    async def main() -> list[str]:
        shown = []
        async with KallglotClient(KEY, base_url="http://127.0.0.1:9") as client:
            for call in (client.wait, client.analyses.retrieve, client.analyses.create):
                with pytest.raises(KallglotError) as caught:
                    await call(KEY)
                shown += [str(caught.value), repr(vars(caught.value)), repr(pickle.dumps(caught.value))]
            [outcome] = await client.wait_many(iter([KEY]))
            shown += [repr(outcome), repr(outcome.error)]
        return shown

    assert all(hidden(text) for text in run(main))


def test_the_emulators_journal_holds_no_key() -> None:
    """What the server of a test writes down can be attached to a report."""

    async def main() -> None:
        faults = [Fault(kind="status", status=401, times=1), Fault(kind="reset", times=1)]
        async with (
            Emulator(plan="unlimited", api_key=KEY, latency=Latency.immediate(), faults=faults) as emulator,
            KallglotClient(KEY, base_url=emulator.base_url) as client,
            KallglotClient(KEY + "0", base_url=emulator.base_url) as stranger,
        ):
            [id] = emulator.seed_analyses(1)
            for one in (client, client, stranger):
                with contextlib.suppress(KallglotError):
                    await one.analyses.retrieve(id)
                await one.analyses.retrieve_many([id])
            assert len(emulator.journal) >= 6
            for text in (*map(repr, emulator.journal), repr(emulator), repr(emulator.state()), repr(emulator.faults())):
                assert hidden(text)

    run(main)


# Who must never see the key


@pytest.mark.parametrize("status", beyond(1, [302, 301, 303, 307, 308]))
@pytest.mark.parametrize("call", CALLS)
def test_the_target_of_a_redirect_never_hears_of_us(call: str, status: int) -> None:
    """Nothing is sent there at all, with or without the key."""

    async def main() -> None:
        async with RawServer() as other:
            location = f"Location: {other.base_url}/analysis/ana_1"
            async with (
                RawServer(answer(b"", location, status=f"{status} Away")) as server,
                KallglotClient(KEY, base_url=server.base_url) as client,
            ):
                with contextlib.suppress(KallglotError):
                    await CALLS[call](client)
                assert len(server.requests) == 1
            assert (other.connections, other.requests) == (0, [])

    run(main)


@pytest.mark.parametrize("reply", ["407 Who", "502 Bad", "200 OK"])
def test_a_proxy_never_sees_the_key(reply: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a tunnel and nothing else, whatever it answers."""
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def main() -> None:
        async with RawServer(closing(answer(b"", status=reply))) as proxy:
            monkeypatch.setenv("https_proxy", f"http://user:hush@127.0.0.1:{proxy.port}")
            async with KallglotClient(
                KEY, base_url="https://192.0.2.1/v1", trust_env=True, max_attempts=2, random=lambda: 0.0, timeout=5.0
            ) as client:
                with pytest.raises(KallglotError) as caught:
                    await client.analyses.retrieve("ana_1")
            assert proxy.requests
            assert all(request.startswith(b"CONNECT ") and KEY.encode() not in request for request in proxy.requests)
            assert all(hidden(text) and "hush" not in text for text in texts_of(caught.value))

    run(main, virtual=False)  # proxies are looked up in a thread


def test_a_foreign_host_in_an_answer_is_never_asked() -> None:
    """Links, locations and webhooks that an answer names are text."""

    async def main() -> None:
        async with RawServer() as other:
            body = analysis(
                results={"url": other.base_url}, webhook_url=other.base_url, error={"doc_url": other.base_url}
            )
            link = f"Link: <{other.base_url}>; rel=next"
            async with (
                RawServer(
                    answer(body, link, f"Content-Location: {other.base_url}", f"Refresh: 0; {other.base_url}")
                ) as it,
                KallglotClient(KEY, base_url=it.base_url) as client,
            ):
                assert (await client.wait("ana_1")).is_complete
            assert (other.connections, other.requests) == (0, [])

    run(main)
