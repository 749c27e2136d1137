"""Operations on analyses, and the one place that decodes an analysis, in either revision, as its id says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

from kallglot_async import errors
from kallglot_async._checks import check_session_id, check_text, check_texts, refusal_of
from kallglot_async._core.api.lenient_json import UNREADABLE, Reader, WrongShapeError, decode_json_object
from kallglot_async._core.api.operation import Operation, WrongResourceError
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import (
    Analysis,
    AnalysisStatus,
    Compliance,
    FailureDetail,
    PartySentiment,
    Performance,
    Report,
)
from kallglot_async.models._base import JSONValue, Timestamp
from kallglot_async.models.meta import read_extra

__all__ = [
    "Revision", "check_analysis_id", "check_request", "create_analysis", "decode_analysis", "retrieve_analysis",
    "revision_of",
]  # fmt: skip

_ID = re.compile(r"(ana_|anl_)[A-Za-z0-9_-]{1,124}", re.ASCII)


class Revision(StrEnum):
    """A revision of the `/v1` contract, by the prefix of its analysis ids."""

    A = "ana_"
    B = "anl_"


_REVISIONS = {revision.value: revision for revision in Revision}
_A = Revision.A  # looked up in an enumeration, a member costs as much as a call


def check_analysis_id(value: object) -> str:
    """Return the id of an analysis.

    Raises:
        InvalidIdError: It is not an id of an analysis.
    """
    match = _ID.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refusal_of(value, "an analysis id", "those start with ana_ or anl_")
    return match[0]


def revision_of(id: str) -> Revision:
    """Return the revision of an id that `check_analysis_id` has let pass before."""
    return _REVISIONS[id[:4]]


def retrieve_analysis(id: str, *, is_checked: bool = False) -> Operation[Analysis]:
    """Return the GET of one analysis; the id's prefix picks the path and the decoder.

    Args:
        id: The analysis id.
        is_checked: Whether `check_analysis_id` has let it pass already.

    Raises:
        InvalidIdError: It is not an id of an analysis.
    """
    if not is_checked:
        id = check_analysis_id(id)
    revision = _REVISIONS[id[:4]]

    def decode(body: bytes) -> Analysis:
        analysis = decode_analysis(body, revision)
        if analysis.id != id:
            raise WrongResourceError("another analysis than the one asked for")
        return analysis

    path = f"analysis/{id}" if revision is _A else f"analyses/{id}"
    return Operation(name="analyses.retrieve", method="GET", path=path, group="analysis", decode=decode)


def create_analysis(
    session_id: str,
    *,
    idempotency_key: str,
    analyses: Iterable[str] | None = None,
    language: str | None = None,
    webhook_url: str | None = None,
    custom_prompts: Mapping[str, str] | None = None,
    profile: str | None = None,
    include: Iterable[str] | None = None,
) -> Operation[Analysis]:
    """Return the POST that requests an analysis: revision A's body with `analyses`, else revision B's.

    Raises:
        ConfigurationError: Fields of both revisions are mixed, or one has an impossible value.
        InvalidIdError: It is not an id of a session.
    """
    session_id, idempotency_key = check_session_id(session_id), check_text("idempotency_key", idempotency_key)
    of_a = {"language": language, "webhook_url": webhook_url, "custom_prompts": custom_prompts}
    of_b = {"profile": profile, "include": include}
    fields: dict[str, Any]
    if analyses is not None:
        _refuse_mixture(of_b, "analyses= asks for revision A")
        fields = {"analyses": check_texts("analyses", analyses), **of_a}
        if custom_prompts is not None:
            fields["custom_prompts"] = _check_prompts(custom_prompts)
    else:
        _refuse_mixture(of_a, "they belong to revision A, which needs analyses=")
        fields = {"profile": profile, "include": None if include is None else check_texts("include", include)}
    for name in ("language", "webhook_url", "profile"):
        if fields.get(name) is not None:
            fields[name] = check_text(name, fields[name])
    return Operation(
        name="analyses.create",
        method="POST",
        path=f"sessions/{session_id}/analysis",
        group="analysis",  # assumed: the documentation has an analysis group and does not split it
        decode=lambda body: _decode_created(body, session_id),
        body=msgspec.json.encode({name: value for name, value in fields.items() if value is not None}),
        idempotency_key=idempotency_key,
    )


# Those that have a default: the key has none, as calls take it, or make it, each in its own way.
_REQUEST = frozenset(create_analysis.__kwdefaults__ or ())


def check_request(call: str, request: Mapping[str, object]) -> None:
    """Raise where a call that requests analyses was given a keyword that it does not have.

    Raises:
        TypeError: As Python raises it, and with the name of the call that was made.
    """
    for name in request:
        if name not in _REQUEST:
            known = ", ".join(sorted(_REQUEST))
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}; what can be asked for: {known}")


class _Created(msgspec.Struct, frozen=True):
    id: str


_decode_id = msgspec.json.Decoder(_Created).decode


def _decode_created(body: bytes, session_id: str) -> Analysis:
    """Decode a create's answer, whose id says which revision answered."""
    id: object
    try:
        id = _decode_id(body).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # A body that is read leniently later on still has to say by its id how it is to be read.
        id = decode_json_object(body).get("id")
    is_b = isinstance(id, str) and id.startswith(Revision.B.value)
    analysis = decode_analysis(body, Revision.B if is_b else Revision.A)
    try:
        check_analysis_id(analysis.id)
    except errors.InvalidIdError:
        raise WrongShapeError("Expected the id of an analysis", "$.id") from None
    if analysis.session_id not in {None, session_id}:
        raise WrongResourceError("another analysis than the one asked for")
    return analysis


def _refuse_mixture(fields: Mapping[str, object], reason: str) -> None:
    given = [name for name, value in fields.items() if value is not None]
    if given:
        raise ConfigurationError(f"{', '.join(given)} cannot be used here: {reason}")


def _check_prompts(prompts: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(prompts, Mapping):
        raise ConfigurationError(
            f"custom_prompts maps components to prompts, it is not {type(prompts).__name__}: write {{'summary': '...'}}"
        )
    texts = {check_text("custom_prompts", key): check_text("custom_prompts", text) for key, text in prompts.items()}
    # In one order, whoever wrote it: an idempotency key stands for one body.
    return dict(sorted(texts.items()))


class _AnalysisB(msgspec.Struct, frozen=True):
    """Revision B as it travels: flat."""

    id: str
    object: Literal["analysis"]
    status: AnalysisStatus
    session_id: str | None = None
    call_id: str | None = None
    profile: str | None = None
    summary: str | None = None
    sentiment: PartySentiment | None = None
    compliance: Compliance | None = None
    performance: Performance | None = None
    keywords: JSONValue = None
    error: FailureDetail | str | None = None
    created_at: Timestamp | None = None
    completed_at: Timestamp | None = None


def _lift(flat: _AnalysisB) -> Analysis:
    """Give revision B's flat fields their place in the one public value."""
    parts = Report(
        call_id=flat.call_id,
        profile=flat.profile,
        summary=flat.summary,
        sentiment=flat.sentiment,
        compliance=flat.compliance,
        performance=flat.performance,
        keywords=flat.keywords,
    )
    return Analysis(
        id=flat.id,
        object=flat.object,
        status=flat.status,
        session_id=flat.session_id,
        report=parts if parts != _NO_PARTS else None,
        error=flat.error.message if isinstance(flat.error, FailureDetail) else flat.error,
        created_at=flat.created_at,
        completed_at=flat.completed_at,
    )


_NO_PARTS = Report()
_reader_a: Reader[Analysis] = Reader(Analysis, ours=frozenset({"report"}))
_reader_b = Reader(_AnalysisB, _lift)


def decode_analysis(body: bytes, revision: Revision) -> Analysis:
    """Return the analysis in `body`.

    Raises:
        MalformedBodyError: It is not JSON.
        WrongShapeError: Its `id`, `object` or `status` is missing or cannot be read.
    """
    if revision is not _A:
        return _reader_b.read(body)
    # As `Reader.read`, which would be one call more for each of millions of bodies.
    try:
        analysis: Analysis = _reader_a.strictly(body)
        if analysis.report is None:
            return analysis
        # A field of our own value that no revision sends: if one ever arrives, it is an unknown field.
        return msgspec.structs.replace(analysis, report=None)
    except UNREADABLE:
        pass
    return _reader_a.leniently(body)


read_extra(
    Analysis,
    lambda analysis, body: (_reader_b if analysis.id.startswith(Revision.B.value) else _reader_a).unknown(body),
)
