"""Requests of analyses as the contract has them: path, headers and body, and what never becomes one."""

import json

import pytest

from kallglot_async import __version__
from kallglot_async._config import Secret
from kallglot_async._core.api.analyses import create_analysis, retrieve_analysis
from kallglot_async._core.api.answers import COMMON_HEADERS, request_headers
from kallglot_async.errors import ConfigurationError, InvalidIdError

KEY = Secret("sk_live_c4n4ryc4n4ry")
RETRIEVE_A = retrieve_analysis("ana_01HDEF456789012")
CREATE = create_analysis("sess_01HXYZ123456789", idempotency_key="k-1")


class TestRetrieve:
    @pytest.mark.parametrize(
        ("id", "path"),
        [
            ("ana_01HDEF456789012", "analysis/ana_01HDEF456789012"),
            ("anl_01HDEF456789012", "analyses/anl_01HDEF456789012"),
        ],
    )
    def test_prefix_picks_the_path(self, id, path):
        """A GET below the base URL: singular for revision A, plural for B, and nothing in its body."""
        operation = retrieve_analysis(id)
        assert (operation.method, operation.path, operation.body) == ("GET", path, None)
        assert (operation.name, operation.group) == ("analyses.retrieve", "analysis")
        assert (operation.idempotency_key, operation.is_repeatable) == (None, True)
        assert retrieve_analysis(id, is_checked=True).path == path

    def test_headers_of_a_get(self):
        """The key, what we accept, who we are, and no cache's answer; no content type and no idempotency key."""
        assert {**COMMON_HEADERS, **request_headers(RETRIEVE_A, KEY)} == {
            "Authorization": "Bearer sk_live_c4n4ryc4n4ry",
            "Accept": "application/json",
            "User-Agent": f"kallglot-async/{__version__}",
            "Cache-Control": "no-cache",
        }

    @pytest.mark.parametrize("id", ["../admin", "sess_1", "ana_1?x", "", None])
    def test_impossible_id_never_becomes_a_request(self, id):
        """An id that is none is refused before any I/O."""
        with pytest.raises(InvalidIdError):
            retrieve_analysis(id)


class TestCreate:
    def test_body_of_revision_a(self):
        """With `analyses` the body is revision A's, as in the documented sample."""
        operation = create_analysis(
            "sess_01HXYZ123456789",
            idempotency_key="k-1",
            analyses=["sentiment", "summary", "action_items", "quality"],
            language="en",
            webhook_url="https://your-app.com/webhooks/analysis",
            custom_prompts={"summary": "In one sentence."},
        )
        assert json.loads(operation.body) == {
            "analyses": ["sentiment", "summary", "action_items", "quality"],
            "language": "en",
            "webhook_url": "https://your-app.com/webhooks/analysis",
            "custom_prompts": {"summary": "In one sentence."},
        }

    def test_body_of_revision_b(self):
        """Without `analyses` the body is revision B's."""
        operation = create_analysis("sess_1", idempotency_key="k-1", profile="default", include=("summary", "keywords"))
        assert json.loads(operation.body) == {"profile": "default", "include": ["summary", "keywords"]}

    @pytest.mark.parametrize(
        ("fields", "body"), [({}, b"{}"), ({"analyses": ["summary"]}, b'{"analyses":["summary"]}')]
    )
    def test_what_is_not_given_is_not_sent(self, fields, body):
        """An absent field is absent on the wire, not null."""
        assert create_analysis("sess_1", idempotency_key="k-1", **fields).body == body

    @pytest.mark.parametrize("fields", [{}, {"analyses": ["summary"]}])
    def test_path_is_the_same_for_both_revisions(self, fields):
        """A POST below the session, repeatable because of its key."""
        operation = create_analysis("sess_01HXYZ123456789", idempotency_key="k-1", **fields)
        assert (operation.method, operation.path) == ("POST", "sessions/sess_01HXYZ123456789/analysis")
        assert (operation.name, operation.group) == ("analyses.create", "analysis")
        assert (operation.idempotency_key, operation.is_repeatable) == ("k-1", True)

    def test_headers_of_a_create(self):
        """The content type and the idempotency key join the headers of every request; a cache has no part in it."""
        assert request_headers(CREATE, KEY) | {"Cache-Control": "no-cache"} == {
            **request_headers(RETRIEVE_A, KEY),
            "Content-Type": "application/json",
            "Idempotency-Key": "k-1",
        }

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"analyses": ["summary"], "profile": "default"}, "profile"),
            ({"analyses": ["summary"], "include": ["summary"]}, "include"),
            ({"analyses": ["summary"], "include": []}, "include"),
            ({"language": "en"}, "language"),
            ({"language": "en", "include": ["summary"]}, "language"),
            ({"webhook_url": "https://x.example", "profile": "default"}, "webhook_url"),
            ({"custom_prompts": {}}, "custom_prompts"),
            ({"language": "en", "webhook_url": "https://x.example"}, "language, webhook_url"),
        ],
    )
    def test_fields_of_both_revisions_are_not_mixed(self, fields, named):
        """A field of the other revision is refused by name rather than silently dropped."""
        with pytest.raises(ConfigurationError, match=f"^{named} cannot be used here"):
            create_analysis("sess_1", idempotency_key="k-1", **fields)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"analyses": []}, "analyses"),
            ({"analyses": "summary"}, "analyses"),
            ({"analyses": b"summary"}, "analyses"),
            ({"analyses": 5}, "analyses"),
            ({"analyses": ["summary", ""]}, "analyses"),
            ({"analyses": ["summary", None]}, "analyses"),
            ({"analyses": [["summary"]]}, "analyses"),
            ({"include": []}, "include"),
            ({"include": "summary"}, "include"),
            ({"profile": ""}, "profile"),
            ({"profile": 5}, "profile"),
            ({"analyses": ["summary"], "language": " "}, "language"),
            ({"analyses": ["summary"], "webhook_url": 5}, "webhook_url"),
            ({"analyses": ["summary"], "custom_prompts": {"summary": ""}}, "custom_prompts"),
            ({"analyses": ["summary"], "custom_prompts": {5: "x"}}, "custom_prompts"),
            ({"analyses": ["summary"], "custom_prompts": "In one sentence."}, "custom_prompts"),
            ({"analyses": ["summary"], "custom_prompts": ["summary"]}, "custom_prompts"),
            ({"profile": "\ud800"}, "profile"),
            ({"analyses": ["\udcff"]}, "analyses"),
        ],
    )
    def test_impossible_value_is_refused_by_name(self, fields, named):
        """What cannot be sent is a `ConfigurationError` that names the argument, before any I/O."""
        with pytest.raises(ConfigurationError, match=f"^{named} "):
            create_analysis("sess_1", idempotency_key="k-1", **fields)

    @pytest.mark.parametrize("key", ["", " ", None, 5, "k\r\nX-Evil: 1", "k\x00", "k\n", "\ud800", "k\u2028"])
    def test_idempotency_key_fits_a_header(self, key):
        """A key that no header can carry is refused."""
        with pytest.raises(ConfigurationError, match=r"^idempotency_key "):
            create_analysis("sess_1", idempotency_key=key)

    @pytest.mark.parametrize("session_id", ["ana_1", "sess_1/../x", "", None])
    def test_impossible_session_never_becomes_a_request(self, session_id):
        """A session id that is none is refused before any I/O."""
        with pytest.raises(InvalidIdError):
            create_analysis(session_id, idempotency_key="k-1")
