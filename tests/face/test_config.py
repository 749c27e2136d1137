"""Settings: what is refused before any I/O, and that no message shows a secret."""

import copy
import math
import pickle

import pytest
from hypothesis import given
from support.examples import texts

from kallglot_async import __version__
from kallglot_async._checks import check_count, check_seconds
from kallglot_async._config import ClientConfig, Secret, parse_base_url, resolve_config, secret_of
from kallglot_async.errors import ConfigurationError

KEY = "sk_live_0123456789abcdef"
CANARY = "s3cr3t"


def config(*, environ=None, **settings):
    given_settings = {
        "api_key": Secret(KEY),
        "base_url": None,
        "timeout": 30.0,
        "max_attempts": 3,
        "max_connections": 100,
        "max_in_flight": 64,
        "max_response_bytes": 1024,
        "max_rate_wait": None,
        "connect_timeout": 10.0,
        "trust_env": False,
        "keep_raw": True,
        **settings,
    }
    return resolve_config(environ=environ or {}, **given_settings)


def chain(error):
    """Return all text that an error and everything it came from hold."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    return " ".join(texts)


class TestKey:
    @pytest.mark.parametrize("text", [KEY, "sk_test_x", "sk_live_" + "x" * 512, "sk_live_!~"])
    def test_key_of_either_kind_is_accepted(self, text):
        """Live and test keys pass; alphabet and length beyond the prefix are not documented."""
        assert config(api_key=Secret(text)).api_key.reveal() == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "sk_live_",
            "sk_test_",
            "sk_prod_s3cr3t",
            "SK_LIVE_s3cr3t",
            " sk_live_s3cr3t",
            "sk_live_s3cr3t ",
            "sk_live_s3cr3t\n",
            "sk_live_s3cr3t\r\nX-Evil: 1",
            "sk_live_s3cr3t x",
            "sk_live_s3cr3té",
            "sk_live_s3cr3t\x00",
            "sk_live_" + "s3cr3t" * 100,
            "Bearer sk_live_s3cr3t",
            "kst_live_s3cr3t",
            b"sk_live_s3cr3t",
            5,
        ],
        ids=ascii,
    )
    def test_malformed_key_is_refused_without_being_shown(self, text):
        """A key that cannot be one, or that no header can carry, is refused; the message does not repeat it."""
        with pytest.raises(ConfigurationError) as caught:
            config(api_key=Secret(text))
        assert CANARY not in chain(caught.value)

    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            ("Bearer sk_live_x", "pass the key alone"),
            ("kst_live_x", "pass an API key"),
            ("hello", "sk_live_... or sk_test"),
        ],
    )
    def test_common_mistake_has_its_own_remedy(self, text, remedy):
        """The message says what to do about a `Bearer` prefix or a stream token."""
        with pytest.raises(ConfigurationError, match=remedy):
            config(api_key=Secret(text))

    def test_argument_wins_over_the_environment(self):
        """`KALLGLOT_API_KEY` is used only where no key was given."""
        environ = {"KALLGLOT_API_KEY": "sk_test_from_environment"}
        assert config(environ=environ).api_key == Secret(KEY)
        assert config(environ=environ, api_key=None).api_key == Secret("sk_test_from_environment")

    @pytest.mark.parametrize("environ", [{}, {"KALLGLOT_API_KEY": ""}])
    def test_missing_key_names_both_ways_to_give_it(self, environ):
        """Without a key nothing is sent, and the message says how to give one."""
        with pytest.raises(ConfigurationError, match=r"api_key=.*KALLGLOT_API_KEY"):
            config(environ=environ, api_key=None)


class TestSecret:
    def test_shows_only_its_kind(self):
        """`repr`, `str` and formatting show whether a key is live or test, and nothing else of it."""
        secret = Secret(KEY)
        assert repr(secret) == str(secret) == f"{secret}" == "sk_live_***"
        assert KEY[8:] not in repr(config())

    @pytest.mark.parametrize("text", ["hunter2", "s3cr3t", "kst_s3cr3t", "s3cr3t_and_a_long_tail"])
    def test_text_that_is_no_key_is_not_shown_at_all(self, text):
        """Something given as a key by mistake, a password say, does not appear in a traceback with locals either."""
        assert text[:6] not in repr(Secret(text))

    def test_goes_into_one_header_as_it_is_now(self):
        """Also one that is asked for, and has changed; what is no text goes nowhere."""
        assert Secret(KEY).credential == f"Bearer {KEY}"
        asked = secret_of(lambda: KEY)
        for key in (KEY, "sk_test_another"):
            asked.renew(Secret(key))
            assert asked.credential == f"Bearer {key}"
        assert Secret(7).credential == ""

    def test_redacts_every_occurrence(self):
        """The key is masked wherever a text repeats it."""
        assert Secret(KEY).redact(f"{KEY} and {KEY}!") == "sk_live_*** and sk_live_***!"
        assert Secret(KEY).redact("nothing here") == "nothing here"

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_is_not_pickled(self, protocol):
        """A key, or settings that hold one, do not leave the process by pickle."""
        for holder in (Secret(KEY), config()):
            with pytest.raises(TypeError, match="not pickled"):
                pickle.dumps(holder, protocol)

    def test_is_not_copied_either(self):
        """There is one place that holds the key."""
        with pytest.raises(TypeError, match="not pickled"):
            copy.deepcopy(Secret(KEY))

    def test_compares_by_key(self):
        """Clients with the same key share what a limiter knows of it."""
        assert Secret(KEY) == Secret(KEY)
        assert hash(Secret(KEY)) == hash(Secret(KEY))
        assert Secret(KEY) != Secret("sk_test_x")
        assert Secret(KEY) != KEY


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("https://api.kallglot.com/v1", "https://api.kallglot.com/v1/"),
            ("https://api.kallglot.com/v1/", "https://api.kallglot.com/v1/"),
            ("https://api.kallglot.com/v1///", "https://api.kallglot.com/v1/"),
            (" https://api.kallglot.com/v1\n", "https://api.kallglot.com/v1/"),
            ("https://api.kallglot.com", "https://api.kallglot.com/"),
            ("HTTPS://API.Kallglot.com/V1", "https://api.kallglot.com/V1/"),
            ("https://api.kallglot.com:8443/v1", "https://api.kallglot.com:8443/v1/"),
            ("https://gateway.example/kallglot/v1", "https://gateway.example/kallglot/v1/"),
            ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/"),
            ("http://127.5.5.5", "http://127.5.5.5/"),
            ("http://localhost:8080", "http://localhost:8080/"),
            ("http://[::1]:8080/v1", "http://[::1]:8080/v1/"),
            ("https://[2001:db8::1]/v1", "https://[2001:db8::1]/v1/"),
        ],
    )
    def test_ends_in_exactly_one_slash(self, text, url):
        """A base URL is brought to one form: lower-case host, one trailing slash."""
        assert parse_base_url(text) == url

    @pytest.mark.parametrize(
        "text",
        [
            "http://api.kallglot.com/v1",
            "http://10.0.0.1/v1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://0.0.0.0",
            "http://[2001:db8::1]",
            "http://2130706433",
        ],
    )
    def test_key_is_never_sent_unencrypted_beyond_loopback(self, text):
        """Plain http is for loopback only."""
        with pytest.raises(ConfigurationError, match="use https"):
            parse_base_url(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "api.kallglot.com/v1",
            "/v1",
            "//api.kallglot.com/v1",
            "https://",
            "https:///v1",
            "https:/api.kallglot.com",
            "ftp://api.kallglot.com",
            "file:///etc/passwd",
            "wss://api.kallglot.com/v1",
            "https://api.kallglot.com/v1?x=1",
            "https://api.kallglot.com/v1?",
            "https://api.kallglot.com/v1#x",
            "https://api.kallglot.com/v1#",
            "https://api.kallglot.com:port",
            "https://api.kallglot.com:99999",
            "https://[::1",
            "https://api.kall glot.com",
            "https://api.kallglot.com/v1\r\nX-Evil: 1",
            "https://api.kallglot.com/v\x001",
            b"https://api.kallglot.com",
            5,
        ],
        ids=ascii,
    )
    def test_anything_else_is_refused(self, text):
        """What is no absolute http(s) URL of host and path is refused before any I/O."""
        with pytest.raises(ConfigurationError, match="base_url"):
            parse_base_url(text)

    @pytest.mark.parametrize(
        "text",
        [
            "https://user:s3cr3t@api.kallglot.com/v1",
            "https://s3cr3t@api.kallglot.com/v1",
            "http://user:s3cr3t@127.0.0.1",
            "ftp://user:s3cr3t@api.kallglot.com",
            "//user:s3cr3t@api.kallglot.com",
            "https://user:s3cr3t@api.kallglot.com?x#y",
            "https://user:s3cr3t @api.kallglot.com",
            "https://user:s3cr3t@api.kallglot.com:port",
            "user:s3cr3t@api.kallglot.com/v1",
            "https:user:s3cr3t@api.kallglot.com",
            "https:/user:s3cr3t@api.kallglot.com",
            "https://user:s3cr3t/x@api.kallglot.com",
            "https://user:s3cr3t#x@api.kallglot.com",
            "https://user:s3cr3t?x@api.kallglot.com",
            "https://user:s3cr3t@api.kallgl\u2100t.com",
            "https://user:s3cr3t\uff20api.kallglot.com",
        ],
    )
    def test_user_name_and_password_are_refused_and_never_shown(self, text):
        """Credentials in a base URL, however it is mangled, appear neither in the message nor in its chain."""
        with pytest.raises(ConfigurationError) as caught:
            parse_base_url(text)
        assert CANARY not in chain(caught.value)

    def test_argument_wins_over_environment_over_default(self):
        """`KALLGLOT_BASE_URL` is used only where no base URL was given; without either it is the documented one."""
        environ = {"KALLGLOT_BASE_URL": "https://from.environment/v1"}
        assert config(environ=environ, base_url="https://argument/v1").base_url == "https://argument/v1/"
        assert config(environ=environ).base_url == "https://from.environment/v1/"
        assert config().base_url == "https://api.kallglot.com/v1/"
        assert config(environ={"KALLGLOT_BASE_URL": ""}).base_url == "https://api.kallglot.com/v1/"

    def test_empty_argument_is_a_mistake_and_not_the_default(self):
        """`base_url=""`, a setting that came out empty, does not quietly mean production."""
        with pytest.raises(ConfigurationError, match="base_url"):
            config(base_url="")

    @given(texts() | texts().map("https://{}".format) | texts().map("http://localhost{}".format))
    def test_no_text_makes_it_fail_otherwise(self, text):
        """Whatever text comes: it is refused as a `ConfigurationError`, or becomes an http(s) URL with a slash."""
        try:
            url = parse_base_url(text)
        except ConfigurationError:
            return
        assert url.startswith(("https://", "http://"))
        assert url.endswith("/")
        assert "@" not in url.split("/")[2]


NO_NUMBER = [math.nan, math.inf, -math.inf, True, False, "5", None, [5], 1j]


class TestNumbers:
    @pytest.mark.parametrize(("value", "seconds"), [(1, 1.0), (0.001, 0.001), (30.0, 30.0), (10**9, 1e9)])
    def test_seconds_above_zero_are_accepted(self, value, seconds):
        """Whole and fractional seconds are seconds."""
        assert check_seconds("timeout", value) == seconds
        assert isinstance(check_seconds("timeout", value), float)

    @pytest.mark.parametrize("value", [*NO_NUMBER, -1, -0.001, 0, 0.0, pytest.param(10**400, id="10**400")])
    def test_other_seconds_are_refused_by_name(self, value):
        """NaN, infinity, bool, text and negative numbers are refused, and the message names the setting."""
        with pytest.raises(ConfigurationError, match=r"^timeout is"):
            check_seconds("timeout", value)

    def test_zero_is_accepted_where_it_means_not_at_all(self):
        """A wait of at most 0 seconds is a setting; a negative one is not."""
        assert check_seconds("max_rate_wait", 0, zero=True) == 0.0
        with pytest.raises(ConfigurationError, match="at least 0"):
            check_seconds("max_rate_wait", -0.1, zero=True)

    @pytest.mark.parametrize("value", [1, 3, 10**12])
    def test_counts_from_one_are_accepted(self, value):
        """A count is returned as it is."""
        assert check_count("max_attempts", value) == value

    @pytest.mark.parametrize("value", [*NO_NUMBER, 0, -1, 1.0, 1.5])
    def test_other_counts_are_refused_by_name(self, value):
        """Zero, negative numbers, fractions, bool and text are refused, and the message names the setting."""
        with pytest.raises(ConfigurationError, match=r"^max_attempts is"):
            check_count("max_attempts", value)

    @pytest.mark.parametrize("name", ["timeout", "max_attempts", "max_connections", "max_in_flight", "connect_timeout"])
    @pytest.mark.parametrize("value", [0, -1, math.nan, "3", True])
    def test_every_setting_is_checked(self, name, value):
        """No setting of a client escapes its check."""
        with pytest.raises(ConfigurationError, match=f"^{name} is"):
            config(**{name: value})

    @pytest.mark.parametrize(
        ("name", "value"), [("max_response_bytes", 0), ("max_rate_wait", -1), ("max_rate_wait", True)]
    )
    def test_rarer_settings_are_checked(self, name, value):
        """The response cap is from 1 up; the longest queue for the rate limit is from 0 up."""
        with pytest.raises(ConfigurationError, match=f"^{name} is"):
            config(**{name: value})

    def test_settings_arrive_as_given(self):
        """Each setting ends up under its own name."""
        settings = config(
            timeout=None,
            max_attempts=2,
            max_connections=3,
            max_in_flight=4,
            max_response_bytes=5,
            max_rate_wait=0,
            connect_timeout=6,
            trust_env=True,
            keep_raw=False,
            default_headers={"x-tenant": "t1"},
            user_agent_suffix="my-app/1.2",
        )
        assert settings == ClientConfig(
            api_key=Secret(KEY),
            base_url="https://api.kallglot.com/v1/",
            timeout=None,
            max_attempts=2,
            max_connections=3,
            max_in_flight=4,
            max_response_bytes=5,
            max_rate_wait=0.0,
            connect_timeout=6.0,
            trust_env=True,
            keep_raw=False,
            headers={"X-Tenant": "t1", "User-Agent": f"kallglot-async/{__version__} my-app/1.2"},
        )
