"""Signatures, against published vectors and the standardwebhooks library."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from smsgw.core.webhooks.signing import key_of, signature
from smsgw.ids import new_webhook_secret

BODY = '{"type":"message.received","data":{"content":"Grüße 😀"}}'.encode()


def headers(value, moment):
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": value,
    }


def test_the_vector_of_the_libraries():
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_vector_of_the_specification():
    # Its secret holds 18 bytes, fewer than the specification itself asks for.
    key = base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")
    body = b'{"event_type":"ping","data":{"success":true}}'
    found = signature([key], "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    assert found == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_the_library_accepts_our_signature():
    secret, now = new_webhook_secret(), datetime.now(UTC)
    value = signature([key_of(secret)], "evt_1", int(now.timestamp()), BODY)
    assert Webhook(secret).verify(BODY, headers(value, now))["type"] == "message.received"


def test_the_library_makes_the_same_signature():
    secret, now = new_webhook_secret(), datetime.now(UTC)
    theirs = Webhook(secret).sign("evt_1", now, BODY.decode())
    assert theirs == signature([key_of(secret)], "evt_1", int(now.timestamp()), BODY)


def test_a_changed_body_is_not_accepted():
    secret, now = new_webhook_secret(), datetime.now(UTC)
    value = signature([key_of(secret)], "evt_1", int(now.timestamp()), BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers(value, now))


def test_after_a_rotation_both_secrets_verify_and_the_newest_comes_first():
    new, old, now = new_webhook_secret(), new_webhook_secret(), datetime.now(UTC)
    stamp = int(now.timestamp())
    value = signature([key_of(new), key_of(old)], "evt_1", stamp, BODY)
    assert value.split(" ")[0] == signature([key_of(new)], "evt_1", stamp, BODY)
    for secret in (new, old):
        Webhook(secret).verify(BODY, headers(value, now))
    with pytest.raises(WebhookVerificationError):
        Webhook(new_webhook_secret()).verify(BODY, headers(value, now))


def test_a_new_secret_holds_32_bytes_and_is_never_the_same():
    secrets = {new_webhook_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert {len(key_of(secret)) for secret in secrets} == {32}
    assert all(secret.startswith("whsec_") for secret in secrets)


@pytest.mark.parametrize("length", [24, 64])
def test_a_secret_of_the_specified_length_is_taken_with_or_without_its_prefix(length):
    text = base64.b64encode(bytes(length)).decode()
    assert key_of(text) == key_of(f"whsec_{text}") == bytes(length)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSü",
    ],
)
def test_any_other_secret_is_refused(secret):
    with pytest.raises(ValueError, match="webhook secret"):
        key_of(secret)
