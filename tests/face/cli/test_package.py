"""`kallglot` as what is installed: its extra, and the package itself as the command line."""

import sys

import pytest
from support.processes import RUN, finish
from support.slow import beyond

import kallglot_async
from kallglot_async.cli import main


@pytest.mark.parametrize("missing", beyond(1, ["cyclopts", "rich"]))
async def test_without_the_extra_one_line_says_which(missing):
    """Exit code 2 and no traceback."""
    code = f"import sys; sys.modules[{missing!r}] = None\n{RUN}"
    status, out, err = await finish("get", "ana_1", code=code)
    assert (status, out) == (2, "")
    assert err == "kallglot: the command line needs its extra: pip install 'kallglot-async[cli]'\n"


def test_a_module_that_is_missing_for_another_reason_is_not_hidden(monkeypatch):
    """A broken installation shows itself as what it is."""
    monkeypatch.setitem(sys.modules, "kallglot_async.cli.run", None)
    with pytest.raises(ModuleNotFoundError, match="kallglot_async"):
        main(["--version"])


async def test_the_package_itself_is_the_command_line():
    """`python -m kallglot_async` is `kallglot`, for where no script is on the path: exit codes and messages too."""
    code = "import runpy; runpy.run_module('kallglot_async', run_name='__main__', alter_sys=True)"
    assert await finish("--version", code=code) == (0, f"{kallglot_async.__version__}\n", "")
    status, out, err = await finish("get", "no id", code=code)
    assert (status, out) == (2, "")
    assert err.startswith("kallglot: ")
