"""What decoding costs: ours beside a bare typed decode into the same structs, and beside the standard library."""

from __future__ import annotations

import json

import msgspec

from benchmarks._timing import best_of
from benchmarks.samples import COMPLETE_A
from kallglot_async._core.api.analyses import Revision, decode_analysis
from kallglot_async.models import Analysis

BAR = 1.10


def run(*, quick: bool) -> list[dict[str, object]]:
    """Decode the founding sample many times; returns one row a candidate."""
    bare = msgspec.json.Decoder(Analysis).decode
    seconds = best_of(
        {
            "kallglot_async": lambda: decode_analysis(COMPLETE_A, Revision.A),
            "bare msgspec, equal structs": lambda: bare(COMPLETE_A),
            "json.loads": lambda: json.loads(COMPLETE_A),
        },
        rounds=5 if quick else 15,
        number=5_000 if quick else 20_000,
    )
    reference = seconds["bare msgspec, equal structs"]
    return [
        {
            "benchmark": "decode",
            "candidate": name,
            "us": round(value * 1e6, 2),
            "ratio": round(value / reference, 3),
            "bar": BAR if name == "kallglot_async" else None,
        }
        for name, value in seconds.items()
    ]


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main("decode")
