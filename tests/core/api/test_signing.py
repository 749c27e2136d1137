"""What a signature header may look like, what fits it, and for how long: at literal bytes and seconds."""

import hashlib
import hmac
import math

import pytest

from kallglot_async._core.api.signing import check_body, check_tolerance, read_secrets, sign, verify
from kallglot_async.errors import (
    ConfigurationError,
    WebhookPayloadError,
    WebhookSignatureError,
    WebhookTimestampError,
)

BODY = b'{"id": "evt_1"}'
NOW = 1_800_000_000.0
DIGEST = hmac.new(b"secret", b"1800000000." + BODY, hashlib.sha256).hexdigest()
GENUINE = f"t=1800000000,v1={DIGEST}"


class TestSign:
    def test_it_is_the_hmac_of_moment_and_body_under_the_secret_as_it_stands(self):
        """Of the whole seconds; the fraction is cut, never rounded."""
        assert sign(BODY, "secret", now=NOW + 0.9) == sign(BODY, b"secret", now=NOW) == GENUINE

    @pytest.mark.parametrize("secret", ["", b"", "\ud800"])
    def test_what_anybody_could_sign_with_is_refused(self, secret):
        """Empty, or a text that stands for no bytes."""
        with pytest.raises(ConfigurationError, match="empty or not encodable"):
            sign(BODY, secret, now=NOW)


class TestVerify:
    @pytest.mark.parametrize(
        "header",
        [
            GENUINE,
            GENUINE.encode(),
            f" v1 = {DIGEST.upper()} , t = 1800000000 ",
            f"t=1800000000,v0=abc,v1={'0' * 64},v1=short,v1={DIGEST}",
            f"t=1800000000,v1={DIGEST},v1={'0' * 64}",
            f"{GENUINE},x={'y' * (4095 - len(GENUINE) - 2)}",
            f"{GENUINE},x={'y' * (4096 - len(GENUINE) - 3)}",
        ],
    )
    def test_any_signature_that_fits_will_do(self, header):
        """In any order, beside others and later schemes, up to 4,096 characters."""
        verify(BODY, header, "secret", now=NOW)

    @pytest.mark.parametrize("secrets", [["old", "secret"], ("secret", b"new"), [b"secret"]])
    def test_any_secret_of_a_rotation_will_do(self, secrets):
        """Wherever it stands."""
        verify(BODY, GENUINE, secrets, now=NOW)

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            (None, "there is no Kallglot-Signature header"),
            ("", "there is no Kallglot-Signature header"),
            (7, "of type int"),
            (GENUINE + "," + "x" * (4096 - len(GENUINE)), "longer than 4096"),
            (f"v1={DIGEST}", "needs one t="),
            (f"t=1,{GENUINE}", "needs one t="),
            (f"t=1800000000.0,v1={DIGEST}", "needs one t="),
            (f"t=-1,v1={DIGEST}", "needs one t="),
            (f"t={'1' * 16},v1={DIGEST}", "needs one t="),
            ("t=1800000000", "no v1="),
            (f"t=1800000000,v1={DIGEST[:-1]}", "no v1="),
            (f"t=1800000000,v1={DIGEST}0", "no v1="),
            (f"t=1800000000,v1={'g' * 64}", "no v1="),
            (f"t=1800000000,v0={DIGEST}", "no v1="),
            (f"t=1800000001,v1={DIGEST}", "no signature fits"),
            (f"t=01800000000,v1={DIGEST}", "no signature fits"),  # another text than the one that was signed
        ],
    )
    def test_what_is_no_signature_of_this_body_is_refused(self, header, said):
        """With what is wrong in the text."""
        with pytest.raises(WebhookSignatureError, match=said):
            verify(BODY, header, "secret", now=NOW)

    @pytest.mark.parametrize("secrets", ["other", ["other", "another"]])
    def test_no_other_secret_fits(self, secrets):
        """One or several."""
        with pytest.raises(WebhookSignatureError, match="no signature fits"):
            verify(BODY, GENUINE, secrets, now=NOW)

    @pytest.mark.parametrize("age", [300.0, -300.0, 0.0])
    def test_five_minutes_either_way_are_allowed(self, age):
        """To the second."""
        verify(BODY, GENUINE, "secret", now=NOW + age)

    @pytest.mark.parametrize(
        ("age", "said"), [(301.0, "signed 301 s ago, and 300 s"), (-301.0, "301 s in the future"), (math.nan, "300 s")]
    )
    def test_what_is_further_away_is_refused_with_its_age(self, age, said):
        """A clock that says NaN lets nothing pass."""
        with pytest.raises(WebhookTimestampError, match=said) as caught:
            verify(BODY, GENUINE, "secret", now=NOW + age)
        assert caught.value.age == pytest.approx(age, nan_ok=True)

    def test_only_what_is_genuine_is_told_to_be_too_old(self):
        """A forger learns nothing of clocks."""
        with pytest.raises(WebhookSignatureError):
            verify(BODY, GENUINE, "other", now=NOW + 1e6)

    def test_the_tolerance_is_the_callers(self):
        """None at all is one, too."""
        verify(BODY, GENUINE, "secret", now=NOW, tolerance=0)
        verify(BODY, GENUINE, "secret", now=NOW + 900.0, tolerance=math.inf)
        with pytest.raises(WebhookTimestampError, match="signed 1 s ago, and 0 s are allowed"):
            verify(BODY, GENUINE, "secret", now=NOW + 1.0, tolerance=0)


class TestWhatIsGiven:
    def test_one_secret_is_a_rotation_of_one(self):
        """Text by its UTF-8; what an environment variable holds beyond that, by the bytes that it was."""
        assert read_secrets("grün") == read_secrets(["grün"]) == ("grün".encode(),)
        assert read_secrets("\udcff") == (b"\xff",)
        assert read_secrets([b"a", "b"]) == (b"a", b"b")

    @pytest.mark.parametrize(
        ("secrets", "said"),
        [([], "no webhook secret"), (None, "no webhook secret"), (["a", ""], "empty"), ([3], "int")],
    )
    def test_none_and_half_a_rotation_are_refused(self, secrets, said):
        """One that is empty would open the door that the others close."""
        with pytest.raises(ConfigurationError, match=said):
            read_secrets(secrets)

    @pytest.mark.parametrize("tolerance", [-0.1, math.nan])
    def test_a_senseless_tolerance_is_refused(self, tolerance):
        """Before any look at the header."""
        with pytest.raises(ConfigurationError, match="0 or more"):
            verify(BODY, None, "secret", now=NOW, tolerance=tolerance)
        with pytest.raises(ConfigurationError):
            check_tolerance(tolerance)

    @pytest.mark.parametrize("body", ["{}", None, bytearray(b"{}")])
    def test_a_body_that_was_decoded_is_refused(self, body):
        """It need not give the same bytes back."""
        with pytest.raises(WebhookPayloadError, match=type(body).__name__):
            verify(body, GENUINE, "secret", now=NOW)
        with pytest.raises(WebhookPayloadError):
            check_body(body)
