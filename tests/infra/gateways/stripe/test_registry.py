"""Where Stripe is spoken to, with whose key, and whose notifications are believed."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from infra.clock import SystemClock
from infra.gateways.local import STRIPE_WEBHOOK_SECRET
from infra.gateways.registry import notification_reader, registry
from infra.settings import BadSetting, Settings
from schemas.errors import BadSignature
from schemas.gateway import GatewayConfiguration
from schemas.notification import IgnoredNotification

STRIPE_KEY = {"STRIPE_SECRET_KEY": "sk_live_1234"}


def configured(gateway: str, **environment: str) -> GatewayConfiguration:
    gateways = registry(Settings.from_environment(environment)).gateways()
    return next(configuration for configuration in gateways if configuration.id == gateway)


async def test_without_a_key_stripe_is_the_simulators() -> None:
    stripe = configured("stripe", SIMULATOR_URL="http://127.0.0.1:18080/")
    assert (stripe.adapter, stripe.base_url) == ("stripe", "http://127.0.0.1:18080/stripe")
    assert stripe.lookup_lag_ms == 2_000


async def test_with_a_key_stripe_is_stripe_and_its_search_is_given_time() -> None:
    stripe = configured("stripe", **STRIPE_KEY)
    assert (stripe.adapter, stripe.base_url) == ("stripe", "https://api.stripe.com")
    assert (stripe.lookup_lag_ms, stripe.checks_per_second) == (90_000, 10)


async def test_stripe_takes_no_net_banking() -> None:
    assert configured("stripe").payment_methods == ("UPI", "CARD", "WALLET")


async def test_a_file_has_the_last_word_on_how_stripe_is_searched(tmp_path: Path) -> None:
    file = tmp_path / "gateways.json"
    stripe = {
        "name": "Stripe",
        "adapter": "stripe",
        "base_url": "https://api.stripe.com",
        "payment_methods": ["CARD"],
        "currencies": ["INR"],
    }
    file.write_text(json.dumps([stripe | {"id": "usual"}, stripe | {"id": "own", "lookup_lag_ms": 1_000}]))
    assert configured("usual", GATEWAYS_FILE=str(file), **STRIPE_KEY).lookup_lag_ms == 90_000
    assert configured("own", GATEWAYS_FILE=str(file), **STRIPE_KEY).lookup_lag_ms == 1_000


@pytest.mark.parametrize("key", ["4242", "sk_live_with a space", "pk_live_1234", "sk_live_1234\n"])
def test_what_is_no_secret_key_stops_the_start_without_being_shown(key: str) -> None:
    with pytest.raises(BadSetting, match="STRIPE_SECRET_KEY") as stopped:
        Settings.from_environment({"STRIPE_SECRET_KEY": key})
    assert key not in str(stopped.value)


# Whose notifications are believed


def is_believed(secret: str, **environment: str) -> bool:
    reader = notification_reader(configured("stripe", **environment), Settings.from_environment(environment))
    assert reader is not None
    now = SystemClock().now()
    time = int(now.timestamp())
    body = b'{"id":"evt_1","type":"ping","created":1,"data":{"object":{"object":"account"}}}'
    signature = hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()
    try:
        read = reader.read({"stripe-signature": f"t={time},v1={signature}"}, body, now)
    except BadSignature:
        return False
    return isinstance(read, IgnoredNotification)


async def test_the_simulator_is_believed_where_it_stands_for_stripe() -> None:
    assert is_believed(STRIPE_WEBHOOK_SECRET)
    assert not is_believed("whsec_guess")


async def test_stripe_in_earnest_is_believed_by_its_own_secrets_only() -> None:
    secrets = {"STRIPE_WEBHOOK_SECRETS": "whsec_old, whsec_new"}
    assert is_believed("whsec_old", **STRIPE_KEY, **secrets)
    assert is_believed("whsec_new", **STRIPE_KEY, **secrets)
    assert not is_believed(STRIPE_WEBHOOK_SECRET, **STRIPE_KEY, **secrets)
    assert not is_believed(STRIPE_WEBHOOK_SECRET, **STRIPE_KEY)


async def test_the_simulators_own_wire_tells_nothing() -> None:
    assert notification_reader(configured("payu"), Settings()) is None
