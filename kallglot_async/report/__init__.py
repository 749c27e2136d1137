"""A batch as one page for people: self-contained HTML, with figures drawn as inline SVG. The base install has it.

The page holds no script and loads nothing, which its own Content-Security-Policy enforces: `default-src 'none'`, and
its one style sheet by its hash. Whatever a server sent is text in it, never markup.

From the bottom: `element` (markup that escapes), `words` (figures as people read them), `calls` (what is read of one
outcome), `figures` (what many calls come to), `charts` (SVG), `panels` (charts with their figures beside them),
`lists` (to do, failures, calls), `style` (the style sheet), `page` (all of it), `file` (the page in a file).
"""

from __future__ import annotations

from kallglot_async.report.file import write_report
from kallglot_async.report.page import report_html

__all__ = ["report_html", "write_report"]
