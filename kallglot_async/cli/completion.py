"""`kallglot completion`: the script that the parser writes, with what it gets wrong for bash put right."""

from __future__ import annotations

from typing import Literal

from cyclopts import App

__all__ = ["script_for"]

# Cyclopts splits the paths at their blanks, and looks for names with the quotes and backslashes that were typed.
_SPLIT = 'COMPREPLY=( $(compgen -f -- "${cur}") )'
_WHOLE = '_kallglot_paths "${cur}"'
_PATHS = r"""
_kallglot_paths() {
  local path="${1#[\"\']}"
  COMPREPLY=()
  while IFS= read -r path; do
    COMPREPLY+=("$path")
  done < <(compgen -f -- "${path//\\/}")
  compopt -o filenames 2> /dev/null  # readline quotes what it inserts, and adds a slash to a directory
}
"""


def script_for(app: App, shell: Literal["bash", "zsh", "fish"]) -> str:
    """Return the script that makes a shell complete the commands and options of an application."""
    script = app.generate_completion(shell=shell)
    if shell != "bash":
        return script
    head, separator, body = script.partition("\n\n")
    return f"{head}{separator}{_PATHS.lstrip()}\n{body.replace(_SPLIT, _WHOLE)}"
