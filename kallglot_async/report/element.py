"""Markup that is built and never pasted: every text and every attribute's value is escaped here, in one place.

`el` makes an element of a name, children and attributes. A child that is a plain text is escaped, one that is `Markup`
has been. Nothing else makes `Markup`, but of nothing, and of the style sheet, which is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

__all__ = ["Child", "Markup", "el", "isolated", "join"]


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = str | None
Value: TypeAlias = str | int | float | bool | None

_VOID = frozenset({"meta", "br"})
# HTML lets their end be left out: the next one, or the end of what holds them, ends them. A page of thousands of rows
# is a third smaller for it.
_ENDS_BY_ITSELF = frozenset({"li", "td", "th", "tr", "thead", "tbody", "dt", "dd"})
_PLAIN = re.compile(r"[\w#.%+-]+", re.ASCII)  # a value that needs no quotes
# What HTML knows no character for, or replaces: controls but for tab and line feed, and lone surrogates, which no
# encoding takes.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def el(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """Return an element.

    Args:
        name: Its name: ours, never a server's.
        children: Texts, which are escaped, and `Markup`; None is nothing.
        attributes: `class_` is `class`, `aria_label` is `aria-label`. True is an attribute without a value; None and
            False are no attribute.
    """
    start = f"<{name}{''.join([_attribute(key, value) for key, value in attributes.items()])}>"
    if name in _VOID:
        return Markup(start)
    return Markup(f"{start}{join(children)}{'' if name in _ENDS_BY_ITSELF else f'</{name}>'}")


def isolated(text: str) -> Child:
    """Return the text so that what runs from right to left in it, or overrides the direction, takes nothing along."""
    return text if text.isascii() else el("bdi", text)


def join(children: Iterable[Child]) -> Markup:
    """Return the children one after another, texts escaped."""
    return Markup("".join([child if isinstance(child, Markup) else _text(child) for child in children if child]))


def _text(text: str, *, quote: bool = False) -> str:
    return escape(text if text.isprintable() else _IMPOSSIBLE.sub("\ufffd", text), quote=quote)


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = _number(value) if isinstance(value, float) else str(value)
    return f" {name}={text}" if _PLAIN.fullmatch(text) else f' {name}="{_text(text, quote=True)}"'


def _number(value: float) -> str:
    """Return the number with two decimals at most: a hundredth of a pixel is nobody's business."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
