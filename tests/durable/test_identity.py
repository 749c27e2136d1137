"""What a file is for: it stays what it was when it was made."""

import pytest
from support.durable import served

from kallglot_async import BatchFile, ConfigurationError


async def test_another_kind_or_request_is_refused(path):
    """The error names both; the file stays what it is, and its own kind goes on."""
    async with served() as (_, client):
        async with client.open_batch(path, analyses=["summary"]) as batch:
            await batch.add(["sess_1"])
        for kind, request, other in (
            ("wait", {}, "one of kind wait"),
            (None, {"analyses": ["topics"]}, 'analyze with {"analyses":["topics"]}'),
            (None, {"include": ["summary"]}, 'analyze with {"include":["summary"]}'),
        ):
            with pytest.raises(ConfigurationError) as caught:
                async with client.open_batch(path, kind=kind, **request):
                    pass
            assert 'is a batch of kind analyze with {"analyses":["summary"]}' in str(caught.value)
            assert other in str(caught.value)
        async with client.open_batch(path, analyses=("summary",)) as batch:
            assert batch.identity.kind == "analyze"
        async with client.open_batch(path) as batch:
            assert batch.status().total == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kind": "fetch"}, ConfigurationError, "kind is wait, retrieve or analyze, not 'fetch'"),
        (
            {"kind": "wait", "analyses": ["summary"], "language": None},
            ConfigurationError,
            "nothing, so analyses cannot be used",
        ),
        ({"analyses": []}, ConfigurationError, "analyses is empty"),
        ({"analysis": ["summary"]}, TypeError, r"open_batch\(\) got an unexpected keyword argument 'analysis'"),
    ],
)
async def test_a_mistake_is_told_before_there_is_a_file(path, options, error, message):
    """No file, no lock, no request."""
    async with served() as (_, client):
        with pytest.raises(error, match=message):
            client.open_batch(path, **options)
    assert list(path.parent.iterdir()) == []


async def test_a_batch_says_what_it_is(path):
    """In its repr, and by its identity once it is open."""
    async with served() as (_, client):
        batch = client.open_batch(path, kind="retrieve")
        assert repr(batch) == f"<DurableBatch {path} closed>"
        with pytest.raises(ConfigurationError, match="is not open"):
            _ = batch.identity
        async with batch:
            assert repr(batch) == f"<DurableBatch {path} open>"
            assert (batch.identity.kind, batch.identity.request) == ("retrieve", {})
            assert batch.file.identity == batch.identity
        with pytest.raises(ConfigurationError, match="is not open"):
            batch.retry()
    assert repr(BatchFile(path)) == f"<BatchFile {path}>"
