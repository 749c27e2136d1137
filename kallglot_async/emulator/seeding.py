"""Determinism without order: every random-looking figure is a hash of the seed and of what it belongs to.

A shared random generator would make a result depend on the order in which requests arrive, which concurrency
shuffles. Hashing (seed, id, purpose) gives the same analysis the same latency, outcome and content in every
run.
"""

from __future__ import annotations

import random
import re
from hashlib import blake2b

# Crockford's base 32, as in ULIDs: the documented ids are a prefix and upper-case ULID-like text. Their
# length is not documented; the samples have 15 characters that begin with "01".
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_DIGITS = 13

# No pattern is documented for ids; this is the widest that is safe in a path.
_WELL_FORMED = re.compile(r"[A-Za-z0-9]{2,8}_[A-Za-z0-9_-]{1,124}")


def digest(seed: int, *parts: object) -> int:
    """A 64-bit hash of the seed and the parts; equal in every process and on every platform."""
    # A separator that no id has: ("a", "bc") and ("ab", "c") must not be the same.
    text = "\x1f".join(map(str, (seed, *parts)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def fraction(seed: int, *parts: object) -> float:
    """A uniform figure in (0, 1) that belongs to the parts."""
    # Never 0 or 1: a quantile function has no value there.
    return (digest(seed, *parts) + 0.5) / 2.0**64


def generator(seed: int, *parts: object) -> random.Random:
    """A random generator of its own for whatever needs more than one figure."""
    return random.Random(digest(seed, *parts))


def make_id(prefix: str, seed: int, *parts: object) -> str:
    """An id in the style of the samples, `make_id("ana", 0, "x")` -> `ana_01` and 13 characters."""
    number = digest(seed, prefix, *parts)
    digits = (_ALPHABET[number >> 5 * place & 31] for place in range(_ID_DIGITS))
    return f"{prefix}_01{''.join(digits)}"


def is_well_formed(id: str, *prefixes: str) -> bool:
    """Whether the text could be an id with one of the prefixes (without their underscore)."""
    return id.partition("_")[0] in prefixes and _WELL_FORMED.fullmatch(id) is not None
