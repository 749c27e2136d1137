"""The fixtures and the marker that users get for their own tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kallglot_async import KallglotClient
from kallglot_async.emulator import Emulator, Fault
from kallglot_async.pytest_plugin import _check_loop

pytestmark = [pytest.mark.looptime, pytest.mark.kallglot_faults(Fault(kind="close", times=1))]


@pytest.mark.kallglot_faults(Fault(kind="status", times=1), Fault(kind="reset", operation="analyses.create"))
async def test_the_marker_declares_faults(kallglot_emulator: Emulator, kallglot_client: KallglotClient) -> None:
    """Faults of the test come before those of its module, and strike as they are declared."""
    kinds = [fault.kind for fault, _ in kallglot_emulator.faults()]
    assert kinds == ["status", "reset", "close"]
    [id] = kallglot_emulator.seed_analyses(1)
    assert (await kallglot_client.wait(id)).is_complete
    assert [entry.fault for entry in kallglot_emulator.journal][:3] == ["status", "close", None]
    assert kallglot_emulator.journal.faults() == {"status": 1, "close": 1}


async def test_each_test_has_its_own(kallglot_emulator: Emulator) -> None:
    """What one test declared is not there in the next one."""
    assert [fault.kind for fault, _ in kallglot_emulator.faults()] == ["close"]
    assert len(kallglot_emulator.journal) == 0


@pytest.mark.slow
def test_the_marker_is_known_and_takes_faults_only(pytester: pytest.Pytester) -> None:
    """With strict markers it is accepted; a value that is no `Fault` is an error that says so."""
    pytester.makepyfile(
        """
        import pytest
        from kallglot_async.emulator import Fault

        @pytest.mark.kallglot_faults(Fault(kind="reset"))
        async def test_good(kallglot_emulator):
            assert kallglot_emulator.faults()

        @pytest.mark.kallglot_faults("reset")
        async def test_bad(kallglot_emulator):
            pass
        """
    )
    options = ("--strict-markers", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*kallglot_faults takes values of Fault, not 'reset'*"])


@pytest.mark.slow
def test_a_loop_in_which_the_emulator_would_not_run_is_said(pytester: pytest.Pytester) -> None:
    """Nothing would answer there: each call would wait for as long as it may, and not say why."""
    pytester.makepyfile(
        """
        import pytest
        from kallglot_async.emulator import Latency

        at_once = pytest.mark.kallglot_options(latency=Latency.immediate())

        async def analyze(client):
            assert (await client.analyze("sess_1", analyses=["summary"], timeout=2.0)).is_complete

        @at_once
        @pytest.mark.asyncio
        async def test_same(kallglot_client):
            await analyze(kallglot_client)

        @at_once
        @pytest.mark.asyncio(loop_scope="module")
        async def test_other(kallglot_client):
            await analyze(kallglot_client)

        @at_once
        @pytest.mark.anyio
        async def test_anyio(kallglot_client):
            await analyze(kallglot_client)
        """
    )
    options = ("-p", "no:cacheprovider", "-o", "asyncio_mode=strict", "-o")
    result = pytester.runpytest_inprocess(*options, "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines_random(
        ["*set asyncio_default_fixture_loop_scope to 'module'*", "*have a fixture anyio_backend*"]
    )
    result = pytester.runpytest_inprocess(*options, "asyncio_default_fixture_loop_scope=module", "-k", "other")
    result.assert_outcomes(passed=1, deselected=3)
    result = pytester.runpytest_inprocess(*options, "asyncio_default_fixture_loop_scope=fixture-scope", "-k", "same")
    if result.ret != pytest.ExitCode.USAGE_ERROR:  # pytest-asyncio 1.4 does not know that one
        result.assert_outcomes(passed=1, deselected=3)


@pytest.mark.slow
def test_a_test_that_two_plugins_share_is_refused(pytester: pytest.Pytester) -> None:
    """Where anyio's plugin makes the fixtures and pytest-asyncio runs the test, they have two event loops."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_marked(kallglot_client):
            await kallglot_client.analyses.create("sess_1", analyses=["summary"], timeout=2.0)
        """
    )
    options = ("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function", "-o")
    result = pytester.runpytest_inprocess(*options, "asyncio_mode=auto")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*set asyncio_mode to 'strict'*"])
    pytester.runpytest_inprocess(*options, "asyncio_mode=strict").assert_outcomes(passed=1)


@pytest.mark.parametrize("known", [(), ("asyncio_default_fixture_loop_scope",)])
@pytest.mark.parametrize("words", [{}, {"loop_scope": "function"}, {"loop_scope": "module"}, {"scope": "module"}])
async def test_releases_of_pytest_asyncio_without_a_setting(known: tuple[str, ...], words: dict[str, str]) -> None:
    """The plugin is loaded beside whichever there is; before 0.24 they say `scope`."""

    def getini(name: str) -> str | None:
        if name not in known:
            raise ValueError(f"unknown configuration value: {name!r}")
        return None

    config = SimpleNamespace(getini=getini, pluginmanager=SimpleNamespace(hasplugin=lambda name: True))
    node = SimpleNamespace(get_closest_marker=lambda name: pytest.mark.asyncio(**words).mark)
    request: Any = SimpleNamespace(node=node, config=config, fixturenames=[], scope="function")
    if "module" in words.values():
        with pytest.raises(pytest.UsageError, match="this test in one of scope 'module'"):
            _check_loop(request)
    else:
        _check_loop(request)
