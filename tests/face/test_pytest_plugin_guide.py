"""The testing kit as a user holds it: the guide "Testing your own code" runs, and the markers do what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kallglot_async

ROOT = Path(kallglot_async.__file__).parents[1]
OPTIONS = ("-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")

# What the README shows, word for word. It runs in a process of its own, as in a user's project.
GUIDE = '''
import asyncio

import pytest

from kallglot_async import AnalysisFailedError, KallglotClient, PollSchedule, WaitTimeoutError, WebhookInbox
from kallglot_async.emulator import Fault, Latency
from kallglot_async.webhooks import parse_event

pytestmark = pytest.mark.looptime  # seconds pass at once


async def summarize(client: KallglotClient, session_id: str) -> str | None:
    """Your code."""
    try:
        analysis = await client.analyze(session_id, analyses=["summary"], timeout=120.0)
    except WaitTimeoutError:
        return None
    return analysis.summary_text


async def test_the_usual_case(kallglot_client):
    assert await summarize(kallglot_client, "sess_1")  # the emulator takes 22 to 30 s for it


@pytest.mark.kallglot_options(latency=Latency.uniform(500.0, 500.0))
async def test_gives_up_after_two_minutes(kallglot_client):
    started = asyncio.get_running_loop().time()
    assert await summarize(kallglot_client, "sess_1") is None
    assert 119.0 < asyncio.get_running_loop().time() - started < 121.0


@pytest.mark.kallglot_faults(
    Fault(kind="reset", operation="analyses.create", times=1),
    Fault(kind="status", status=503, operation="analyses.retrieve", times=1),
)
async def test_survives_a_bad_minute(kallglot_client, kallglot_emulator):
    assert await summarize(kallglot_client, "sess_1")
    assert kallglot_emulator.journal.faults() == {"reset": 1, "status": 1}
    assert len(kallglot_emulator.analyses()) == 1  # what was repeated created nothing twice


@pytest.mark.kallglot_options(failure_rate=1.0)
async def test_passes_on_that_the_analysis_failed(kallglot_client):
    with pytest.raises(AnalysisFailedError):
        await summarize(kallglot_client, "sess_1")


async def test_a_webhook_ends_the_wait(kallglot_client, kallglot_emulator):
    inbox = WebhookInbox()
    [id] = kallglot_emulator.seed_analyses(1)
    async with KallglotClient(
        kallglot_emulator.api_key, base_url=kallglot_emulator.base_url, inbox=inbox
    ) as client:
        waiting = asyncio.create_task(client.wait(id, schedule=PollSchedule.behind_webhooks()))
        await asyncio.sleep(31.0)  # it is ready by now, and polls are rare by this schedule
        assert not waiting.done()
        inbox.put(parse_event(b'{"id": "evt_1", "type": "analysis.complete", "data": {"id": "%s"}}' % id.encode()))
        assert (await waiting).is_complete
'''


def run(path, *argv):
    env = {name: value for name, value in os.environ.items() if not name.startswith("KALLGLOT_")}
    command = [sys.executable, "-m", "pytest", "-q", *OPTIONS, *argv, str(path)]
    return subprocess.run(
        command, cwd=path.parent, env=env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_guide_runs(tmp_path):
    """Every test of it passes, with warnings as errors and strict markers."""
    path = tmp_path / "test_guide.py"
    path.write_text(GUIDE)
    ran = run(path, "-W", "error", "--strict-markers")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout


@pytest.mark.looptime
@pytest.mark.kallglot_options(seed=7, webhook_secret="whsec_1")
async def test_the_emulator_keeps_its_clock_when_looptime_begins(kallglot_emulator):
    """Fixtures come before looptime sets the loop's time to 0: the emulator's does not go back by the uptime."""
    assert 0.0 <= kallglot_emulator.now < 5.0
    [id] = kallglot_emulator.seed_analyses(1)
    record = kallglot_emulator.analysis(id)
    assert 0.0 <= record.created_at < 5.0 < 22.0 <= record.ready_at < 36.0


class TestOptions:
    pytestmark = pytest.mark.kallglot_options(plan="free", seed=1)

    @pytest.mark.kallglot_options(seed=2)
    async def test_the_nearest_marker_wins(self, kallglot_emulator):
        """Options of the class hold where the test has none of its own."""
        state = kallglot_emulator.state()
        assert (state.seed, state.plan) == (2, "free")

    async def test_each_test_has_its_own(self, kallglot_emulator):
        """What another test set is not there."""
        assert kallglot_emulator.state().seed == 1


@pytest.mark.slow
def test_an_option_that_cannot_be_is_said(pytester):
    """Before the test runs, in one line."""
    messages = {
        "plan='gold'": "gold",
        "colour='red'": "colour",
        "'free'": "kallglot_options takes options of Emulator by name",
        "faults=[]": "faults go into kallglot_faults",
    }
    tests = [
        f"@pytest.mark.kallglot_options({marker})\nasync def test_{number}(kallglot_emulator): ..."
        for number, marker in enumerate(messages)
    ]
    pytester.makepyfile("\n".join(["import pytest", *tests]))
    result = pytester.runpytest_inprocess("--strict-markers", *OPTIONS)
    result.assert_outcomes(errors=len(messages))
    result.stdout.fnmatch_lines([f"*UsageError: *{message}*" for message in messages.values()])
