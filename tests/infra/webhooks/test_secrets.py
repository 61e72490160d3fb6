"""Secrets and signatures, as the public library of Standard Webhooks judges them."""

import base64
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from infra.clock import SystemClock
from infra.webhooks.secrets import Secrets
from infra.webhooks.signing import signed_headers
from schemas.webhook import SecretVersion, SubscriptionId
from schemas.webhook_types import TYPES

OLD, NEW = "an-old-key-of-enough-characters-00", "a-new-key-of-enough-characters-000"
ONE, TWO = SubscriptionId("whs_1"), SubscriptionId("whs_2")
BODY = '{"type":"payment.succeeded","timestamp":"2026-11-23T09:30:00Z","data":{"name":"Zoë"}}'.encode()


def version(number: int, keys: Secrets) -> SecretVersion:
    return SecretVersion(number=number, key=keys.newest)


def headers(*secrets: bytes) -> dict[str, str]:
    return signed_headers("dlv_1", int(SystemClock().now().timestamp()), BODY, secrets)


def test_what_we_sign_the_public_library_verifies() -> None:
    keys = Secrets([NEW])
    sent = headers(keys.secret(ONE, version(1, keys)))
    told = Webhook(keys.shown(ONE, version(1, keys))).verify(BODY, sent)
    assert told["data"] == {"name": "Zoë"}


def test_while_a_secret_is_rotated_either_of_the_two_verifies() -> None:
    keys = Secrets([NEW])
    sent = headers(keys.secret(ONE, version(2, keys)), keys.secret(ONE, version(1, keys)))
    for number in (1, 2):
        Webhook(keys.shown(ONE, version(number, keys))).verify(BODY, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(keys.shown(ONE, version(3, keys))).verify(BODY, sent)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_nothing_of_it_can_be_changed_on_the_way(changed: str) -> None:
    keys = Secrets([NEW])
    sent = headers(keys.secret(ONE, version(1, keys)))
    if changed == "webhook-timestamp":
        sent[changed] = str(int(sent[changed]) + 1)
    elif changed == "webhook-id":
        sent[changed] = "dlv_2"
    body = BODY.replace(b"succeeded", b"failed") if changed == "body" else BODY
    with pytest.raises(WebhookVerificationError):
        Webhook(keys.shown(ONE, version(1, keys))).verify(body, sent)


def test_every_subscription_and_every_rotation_has_a_secret_of_its_own() -> None:
    keys = Secrets([NEW])
    secrets = {keys.shown(to, version(number, keys)) for to in (ONE, TWO) for number in (1, 2)}
    assert len(secrets) == 4


def test_the_same_secret_is_made_again_from_its_name_by_whoever_has_the_key() -> None:
    before = Secrets([OLD])
    made_of_old = version(1, before)
    after = Secrets([NEW, OLD])
    assert after.secret(ONE, made_of_old) == before.secret(ONE, made_of_old)
    assert after.newest != before.newest
    assert not Secrets([NEW]).knows(made_of_old)


def test_no_key_is_shown_by_accident() -> None:
    assert NEW not in repr(Secrets([NEW]))
    assert NEW not in Secrets([NEW]).newest


# What the documentation says to receivers


def documented() -> Callable[[str, dict[str, str], bytes], bool]:
    """The ten lines of docs/webhooks.md, as they stand there."""
    text = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    block = next(part for part in text.split("```\n") if part.startswith("def verify("))
    names: dict[str, Any] = {"base64": base64, "hmac": hmac, "time": time}
    exec(block, names)
    verify: Callable[[str, dict[str, str], bytes], bool] = names["verify"]
    return verify


def test_the_documented_lines_verify_what_we_send_and_nothing_else() -> None:
    keys = Secrets([NEW])
    first, second = version(1, keys), version(2, keys)
    sent = headers(keys.secret(ONE, second), keys.secret(ONE, first))
    verify = documented()
    assert verify(keys.shown(ONE, first), sent, BODY)
    assert verify(keys.shown(ONE, second), sent, BODY)
    assert not verify(keys.shown(TWO, first), sent, BODY)
    assert not verify(keys.shown(ONE, first), sent, BODY + b" ")
    old = signed_headers("dlv_1", int(time.time()) - 3_600, BODY, [keys.secret(ONE, first)])
    assert not verify(keys.shown(ONE, first), old, BODY)


def test_every_type_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    for name in TYPES.values():
        family, _, rest = name.partition(".")
        assert family == "reliability" or f"`{name}`" in text or f"`.{rest}`" in text, name
