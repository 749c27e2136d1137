"""`kallglot completion`: what a shell completes."""

import shlex
import shutil
import subprocess
import sys

import pytest
from support.processes import RUN
from support.slow import beyond

from kallglot_async.cli import main

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def script():
    """What bash is given to source, from a process as a person starts it."""
    return subprocess.run([sys.executable, "-c", RUN, "completion", "bash"], capture_output=True, check=True).stdout


class TestCompletion:
    @pytest.mark.parametrize("shell", beyond(1, ["bash", "zsh", "fish"]))
    def test_prints_a_script_that_knows_the_commands(self, shell, capsys):
        """Commands and options are in it."""
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert "total-timeout" in script
        assert "analyze" in script

    def test_another_shell_is_a_mistake_of_usage(self, capsys):
        """The choices are named."""
        assert main(["completion", "cmd"]) == 2
        assert '"bash", "zsh", "fish"' in capsys.readouterr().err

    @pytest.mark.skipif(BASH is None, reason="needs bash")
    def test_bash_completes_a_command(self, script):
        """Sourced by the shell itself, `kallglot ana<TAB>` is `analyze`."""
        ask = b"\nCOMP_WORDS=(kallglot ana); COMP_CWORD=1; _kallglot; echo ${COMPREPLY[@]}\n"
        ran = subprocess.run([BASH], input=script + ask, capture_output=True, check=True)
        assert ran.stdout.split() == [b"analyze"]

    @pytest.mark.skipif(BASH is None, reason="needs bash")
    def test_bash_completes_a_path(self, script, tmp_path):
        """After every option that takes one, and where a file is an argument."""
        (tmp_path / "ids.txt").touch()
        lines = ["get --file", "get -f", "wait --file", "analyze --quiet --file", "recording download --to"]
        lines += ["webhook verify --file", "webhook verify"]
        for line in lines:
            words = f"kallglot {line}".split()
            ask = f"\nCOMP_WORDS=({' '.join(words)} i); COMP_CWORD={len(words)}; _kallglot; echo ${{COMPREPLY[@]}}\n"
            ran = subprocess.run([BASH], input=script + ask.encode(), capture_output=True, check=True, cwd=tmp_path)
            assert ran.stdout.split() == [b"ids.txt"], line

    @pytest.mark.skipif(BASH is None, reason="needs bash")
    @pytest.mark.parametrize(
        ("typed", "found"),
        [
            ("my", ["my ids.txt", "my other  ids.txt"]),
            ('"my o', ["my other  ids.txt"]),
            ("my\\ i", ["my ids.txt"]),
            ("'it", ["it's *.txt"]),
            ("a\\ b/", ["a b/c d"]),
            ("none", []),
        ],
    )
    def test_bash_completes_a_path_with_blanks(self, script, typed, found, tmp_path):
        """Whole, as quotes and backslashes of the one who types are none of its name."""
        (tmp_path / "a b").mkdir()
        for name in ("my ids.txt", "my other  ids.txt", "it's *.txt", "a b/c d"):
            (tmp_path / name).touch()
        for option in ("get --file", "wait -f", "webhook verify", "recording download --to"):
            words = [*f"kallglot {option}".split(), shlex.quote(typed)]
            ask = f"\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _kallglot"
            ask += "; printf '%s\\n' \"${COMPREPLY[@]}\""
            ran = subprocess.run([BASH], input=script + ask.encode(), capture_output=True, check=True, cwd=tmp_path)
            assert sorted(filter(None, ran.stdout.decode().split("\n"))) == found, option
