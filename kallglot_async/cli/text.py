"""Text from a server, made safe for a terminal, and the two marks that draw figures: sparkline and bar.

A server's text can carry what a terminal obeys: escape sequences that rename its window or move its cursor, and
direction marks that make it read differently from what it is. None of that is printed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from kallglot_async.cli.streams import tell

__all__ = ["bar", "clean", "complain", "sparkline"]

# C0 with tab and line ends, DEL, C1; the line and paragraph separators; the bidirectional overrides and isolates;
# surrogates, which no encoding takes.
_BLANKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# A whole escape sequence goes, not its first character alone: what is left would read "[31m".
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"
)

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-~=+*#"


def clean(text: object) -> str:
    """Return the text in one line without anything that a terminal would obey."""
    return _UNSAFE.sub("", _BLANKS.sub(" ", _ESCAPES.sub("", str(text)))).strip()


def complain(message: object) -> None:
    """Say in one line on standard error what is wrong."""
    tell(f"kallglot: {clean(message)}")


def sparkline(scores: Sequence[float], *, width: int = 60, ascii_only: bool = False) -> str:
    """Return one mark for each score from -1 (lowest) to 1 (highest); more than `width` are averaged in groups."""
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    if len(scores) > width:
        edges = [place * len(scores) // width for place in range(width + 1)]
        groups = [scores[low:high] for low, high in pairwise(edges)]
        scores = [sum(group) / len(group) for group in groups]
    steps = (int((min(1.0, max(-1.0, score)) + 1.0) / 2.0 * len(blocks)) for score in scores)
    return "".join(blocks[min(step, len(blocks) - 1)] for step in steps)


def bar(share: float, *, width: int = 30, ascii_only: bool = False) -> tuple[str, str]:
    """Return the filled and the empty part of a bar that shows a share from 0 to 1."""
    filled = round(min(1.0, max(0.0, share)) * width)
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    return full * filled, empty * (width - filled)
