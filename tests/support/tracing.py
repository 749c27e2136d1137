"""What the coverage traces of a run: the package as it is imported, and the tests that are not marked `untraced`.

Of a test, its own function and what its fixtures set up. The rest takes twice as long when it is traced, for nothing:
what pytest does around each of 7,000 tests, a worker's collection of them, and the controller, which runs none.
"""

from collections.abc import Generator
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest

import kallglot_async


def trace(config: pytest.Config) -> None:
    """Have this process trace what is to be traced, where anything is measured.

    pytest-cov starts the coverage of a controller in each process of a run: it reads `--numprocesses` from `addopts`
    before pytest-xdist has told a worker what it is. It starts what a worker needs on top of that later, and never
    reads the first, which would go on tracing wherever the second pauses.
    """
    coverage: Any = config.pluginmanager.get_plugin("_cov")
    if coverage is None or coverage.cov_controller is None:
        return
    is_worker = hasattr(config, "workerinput")
    is_controller = not is_worker and config.getoption("tx", None)
    if is_worker or is_controller:
        coverage.cov_controller.cov.stop()
    if not is_controller:
        is_first = not is_worker or config.workerinput["workerid"] == "gw0"  # type: ignore[attr-defined]
        config.pluginmanager.register(_Tracing(coverage, is_first=is_first))


class _Tracing:
    """Pauses the coverage of a process that runs tests, and has it go on."""

    def __init__(self, coverage: Any, *, is_first: bool) -> None:
        self._coverage = coverage
        self._is_first = is_first  # of the processes of a run: modules are traced by one, as they are imported
        self._is_on = True

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        if self._is_first:
            for module in walk_packages(kallglot_async.__path__, "kallglot_async."):
                with suppress(ImportError):  # something is not installed: its tests say so
                    import_module(module.name)
        self._turn(on=False)
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        return (yield from self._traced(pyfuncitem))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_fixture_setup(self, request: pytest.FixtureRequest) -> Generator[None, object, object]:
        return (yield from self._traced(request.node))

    def _traced(self, node: pytest.Item | pytest.Collector) -> Generator[None, object, object]:
        was_on = self._is_on  # a test may ask for a fixture itself
        self._turn(on=node.get_closest_marker("untraced") is None)
        try:
            return (yield)
        finally:
            self._turn(on=was_on)

    def _turn(self, *, on: bool) -> None:
        if on != self._is_on:
            self._is_on = on
            # A worker's is another from its session's start on. Its own `pause` would change the directory, too.
            coverage = self._coverage.cov_controller.cov
            (coverage.start if on else coverage.stop)()
