"""Faults as one line of text, for command lines and configuration files."""

from __future__ import annotations

import msgspec

from kallglot_async.emulator.faults.plan import Fault

_FIELDS = tuple(name for name in Fault.__struct_fields__ if name not in {"kind", "headers"})


def parse_fault(text: str) -> Fault:
    """The fault that a text declares: `KIND`, `KIND:key=value,key=value`, or the JSON of a `Fault`.

    Keys are the fields of `Fault`; `none` is None. A value cannot hold a comma and `headers` cannot be given
    this way: write JSON for those.

        status:status=503,rate=0.2
        reset:times=3,operation=analyses.retrieve
        {"kind": "status", "headers": {"Retry-After": "soon"}}

    Raises:
        ValueError: There is no such kind or key, or a value that the key cannot have.
    """
    try:
        # Not strict: in the short form every value is a text, and "3" is the number where the field is one.
        is_json = text.lstrip().startswith("{")
        return msgspec.json.decode(text, type=Fault) if is_json else msgspec.convert(_fields(text), Fault, strict=False)
    except msgspec.DecodeError as error:
        raise ValueError(f"fault {text!r}: {error}") from None


def _fields(text: str) -> dict[str, str | None]:
    kind, _, rest = text.partition(":")
    if kind not in Fault.kinds:
        raise ValueError(f"there is no fault {kind!r}; there are {', '.join(sorted(Fault.kinds))}")
    fields: dict[str, str | None] = {"kind": kind}
    for part in rest.split(",") if rest else ():
        key, is_pair, value = part.partition("=")
        if key not in _FIELDS or not is_pair:
            raise ValueError(f"fault {text!r}: {part!r} is no key=value with one of {', '.join(_FIELDS)}")
        fields[key] = None if value == "none" else value
    return fields
