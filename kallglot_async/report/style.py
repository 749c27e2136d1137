"""The page's one style sheet: light and dark, phone and print. No attribute of an element holds a style."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

__all__ = ["STYLE", "STYLE_HASH"]

_SOURCE = """
:root { color-scheme: light dark;
  --page: #f2f4f7; --card: #fff; --ink: #1a2230; --dim: #566072; --line: #d3d9e2; --link: #1d5fc0;
  --pos: #1f6fd0; --neg: #c64a1c; --mid: #7d8797; --any: #6a5acd; --band: #6a5acd33; --late: #a8330b }
@media screen and (prefers-color-scheme: dark) { :root {
  --page: #10141a; --card: #191f28; --ink: #e5e9f0; --dim: #a4aebd; --line: #343d4b; --link: #7db4ff;
  --pos: #5ca4f7; --neg: #ee8a5e; --mid: #8d97a7; --any: #a79cf5; --band: #a79cf533; --late: #ffab85 } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", "Helvetica Neue", "Noto Sans", sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; unicode-bidi: plaintext }
h2 { font-size: 1.25rem; margin: 2.25rem 0 .75rem }
h3 { font-size: 1rem; margin: 0 0 .75rem; unicode-bidi: plaintext }
p { margin: .25rem 0 }
a { color: var(--link); unicode-bidi: isolate }
.dim { color: var(--dim) }
.tiles, .cards { gap: 1rem; margin: 0 }
.cards { display: flex; flex-wrap: wrap }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); margin-top: 1.25rem }
.tiles > div, .card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem;
  min-width: 0 }
.tiles > div { padding: .875rem }
.tiles dt { color: var(--dim); font-size: .875rem; margin: 0 }
.tiles dd { margin: 0; padding: 0; font-size: 1.625rem; line-height: 1.3; font-weight: 600 }
.tiles small { display: block; font-size: .8125rem; font-weight: 400; color: var(--dim) }
.card { flex: 1 1 20rem } .wide { flex-basis: 100% }
.pair { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start }
.pair > div { flex: 1 1 16rem; min-width: 0 }
.pair > :first-child { flex: 3 1 24rem }
svg { display: block; overflow: hidden }
svg svg { overflow: visible }
.bar { width: 100%; min-width: 2rem; height: .75rem; background: var(--page) }
.neg { fill: var(--neg) } .pos { fill: var(--pos) } .mid { fill: var(--mid) } .any { fill: var(--any) }
line { stroke: var(--line); stroke-width: 1 }
path { fill: none; vector-effect: non-scaling-stroke }
.course { stroke: var(--any); stroke-width: 2.5 }
.band { fill: var(--band) }
text { fill: var(--dim); font-size: 12px }
.m { text-anchor: middle } .e { text-anchor: end }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { text-align: end; font-weight: 400; padding: .2rem .35rem; vertical-align: middle; unicode-bidi: plaintext }
thead > tr > * { color: var(--dim); font-size: .8125rem; border-bottom: 1px solid var(--line); vertical-align: bottom }
th:first-child, .calls td:nth-child(2) { text-align: start }
td:has(> .bar) { width: 32% }
thead th, td { overflow-wrap: normal } .calls td { overflow-wrap: anywhere }
tr:target > * { background: var(--band) }
dl { margin: 0 }
dt { color: var(--dim); font-size: .875rem; margin: .75rem 0 .15rem }
dd { margin: 0; padding: .1rem 0 .1rem .75rem; unicode-bidi: plaintext }
dl:first-of-type > dt:first-child { margin-top: 0 }
.why dt { color: inherit; font-size: 1rem } .why dd { font-size: .875rem }
dd a { font-size: .8125rem }
dd b, dt b { color: var(--late); font-size: .8125rem }
ol { margin: 0; padding-inline-start: 1.5rem }
li + li { margin-top: .75rem }
.said { unicode-bidi: plaintext }
summary { cursor: pointer; color: var(--link); padding: .25rem 0 }
@media (max-width: 30rem) { body { padding: 1rem .75rem 2rem } .card, .tiles > div { padding: .75rem }
  .tiles { grid-template-columns: repeat(2, 1fr) } .tiles dd { font-size: 1.375rem }
  .calls th, .calls td { padding-inline: .15rem } .wide td:has(> .bar) { width: 15% } }
@media print { :root { color-scheme: light; --page: #fff } @page { margin: 14mm }
  body { max-width: none; padding: 0; font-size: 10pt } h2, h3, dt { break-after: avoid }
  .pair { flex-wrap: nowrap } .tiles { grid-template-columns: repeat(4, 1fr) }
  .card:not(:has(dl, ol, details)), .tiles > div, tr, li, dd { break-inside: avoid }
  a { color: inherit; text-decoration: none } }
"""

STYLE = re.sub(r"\s*\n\s*", "", re.sub(r"\s*([{};,])\s*", r"\1", _SOURCE))
"""The style sheet without what is only for its readers."""

STYLE_HASH = f"sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}"
"""What the page's policy allows, and nothing else."""
