"""`kallglot emulator`: where it says that it is, how it is stopped, and which faults it commits."""

import asyncio
import json
import signal
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from support.processes import posix, process
from support.receiving import serving

import kallglot_async
from kallglot_async import KallglotClient, WebhookInbox
from kallglot_async.cli import main
from kallglot_async.cli.serve import serve
from kallglot_async.emulator import Emulator
from kallglot_async.receivers import aiohttp_handler


@posix
@pytest.mark.slow
async def test_the_emulator_runs_until_it_is_asked_to_stop():
    """It says where it is, answers, and ends with exit code 0 and a count."""
    argv = ["emulator", "--json", "--analyses", "2", "--latency-median", "0", "--plan", "free"]
    async with process(*argv) as child:
        place = json.loads(await child.stdout.readline())
        assert place.keys() == {"base_url", "api_key", "ids"}
        async with KallglotClient(place["api_key"], base_url=place["base_url"]) as client:
            outcomes = await client.wait_many(place["ids"])
            assert client.rate_limit.limit == 60
        assert len(outcomes.analyses) == 2
        child.send_signal(signal.SIGINT)
        out, err = await child.communicate()
    assert (child.returncode, out, err) == (0, b"", b"stopped after 2 requests, 0 refused\n")


@posix
@pytest.mark.parametrize("as_json", [True, False])
async def test_a_service_manager_can_stop_it_too(as_json, capsysbinary):
    """SIGTERM ends it as Ctrl-C does, and no signal handler stays behind."""
    before = signal.getsignal(signal.SIGTERM)
    server = Emulator()
    running = asyncio.create_task(serve(server, analyses=1, revision="a", as_json=as_json, quiet=False))
    said = b""
    while not said:
        await asyncio.sleep(0.001)
        said = capsysbinary.readouterr().out
    signal.raise_signal(signal.SIGTERM)
    assert await running == 0
    assert said.startswith(b"{") == as_json
    assert capsysbinary.readouterr().err == b"stopped after 0 requests, 0 refused\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
@posix
async def test_the_emulator_prints_what_a_shell_can_use():
    """Two export lines, then the ids; its options reach it."""
    options = ["--revision", "b", "--credits", "0", "--adopt-unknown", "--failure-rate", "1", "--speed", "1e6", "-q"]
    options += ["--seed", "7", "--plan", "starter", "--window", "sliding"]
    async with process("emulator", "--analyses", "1", *options) as child:
        lines = [(await child.stdout.readline()).decode().rstrip() for _ in range(6)]
        exports = dict(line.removeprefix("export ").split("=") for line in lines if line.startswith("export "))
        assert exports.keys() == {"KALLGLOT_BASE_URL", "KALLGLOT_API_KEY"}
        assert exports["KALLGLOT_BASE_URL"] in lines[0]
        assert lines[-1].startswith("anl_")
        async with KallglotClient(exports["KALLGLOT_API_KEY"], base_url=exports["KALLGLOT_BASE_URL"]) as client:
            assert (await client.analyses.retrieve(lines[-1])).is_failed  # within a second, so it is sped up
            assert (await client.analyses.retrieve("anl_never_created")).id == "anl_never_created"
            with pytest.raises(kallglot_async.InsufficientCreditsError):
                await client.analyses.create("sess_1")
            assert client.rate_limit.limit == 30  # the plan's
        child.send_signal(signal.SIGINT)
        assert await child.communicate() == (b"", b"")
    assert child.returncode == 0


async def test_a_port_that_is_taken_is_one_line(capsys):
    """Exit code 2, and the port is named."""
    async with Emulator() as server:
        port = urlsplit(server.base_url).port
        status = await asyncio.to_thread(main, ["emulator", "--port", str(port)])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith(f"kallglot: cannot listen on port {port}: ")
    assert err.count("\n") == 1


@pytest.mark.slow
@posix
async def test_the_emulators_command_line_takes_faults():
    """Faults given on the command line strike, are counted, and are told at the end."""
    argv = ["--fault", "status:status=503,times=1", "--fault=reset:times=1", "--plan", "unlimited"]
    async with process("emulator", "--json", "--analyses", "1", "--latency-median", "0", *argv) as child:
        place = json.loads(await child.stdout.readline())
        async with KallglotClient(place["api_key"], base_url=place["base_url"], random=lambda: 0.0) as client:
            assert (await client.analyses.retrieve(place["ids"][0])).is_complete
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    assert child.returncode == 0
    assert err == b"stopped after 3 requests, 0 refused, reset 1 times, status 1 times\n"


@pytest.mark.slow
@posix
async def test_the_emulator_tells_an_endpoint_of_what_has_settled():
    """Signed with the secret that it was given: so a receiver can be tried from a shell."""
    inbox, app, heard = WebhookInbox(), web.Application(), asyncio.Event()
    app.router.add_post("/hook", aiohttp_handler(inbox, "a secret"))
    inbox.listen(lambda id: heard.set())
    async with serving(app) as origin:
        argv = ["--webhook-url", f"{origin}/hook", "--webhook-secret", "a secret", "--latency-median", "0.2"]
        async with process("emulator", "--json", "--analyses", "1", *argv) as child:
            await child.stdout.readline()
            await asyncio.wait_for(heard.wait(), 60.0)
            child.send_signal(signal.SIGINT)
            await child.communicate()


def test_an_endpoint_that_is_not_on_this_machine_is_refused(capsys):
    """In one line; nothing is started."""
    assert main(["emulator", "--webhook-url", "https://example.com/hook"]) == 2
    assert capsys.readouterr().err.startswith("kallglot: the emulator sends webhooks to this machine only")


def test_a_fault_that_does_not_exist_is_exit_code_2(capsys):
    """The mistake is one line that lists what there is; nothing is started."""
    status = main(["emulator", "--fault", "meteor"])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("kallglot: there is no fault 'meteor'; there are bad_utf8, ")
    assert err.count("\n") == 1
