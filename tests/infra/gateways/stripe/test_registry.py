import hashlib
import hmac
import json
from pathlib import Path

import pytest

from infra.clock import SystemClock
from infra.gateways.local import STRIPE_WEBHOOK_SECRET
from infra.gateways.registry import notification_reader, registry
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.defaults import DEFAULT_PROFILES
from infra.settings import BadSetting, Settings
from schemas.charge import Found
from schemas.errors import BadSignature
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.notification import IgnoredNotification
from schemas.outcome import Declined, Succeeded
from tests.infra.gateways.serving import serving
from tests.infra.gateways.stripe.intents import a_charge

pytestmark = pytest.mark.time_jumps

STRIPE_KEY = {"STRIPE_SECRET_KEY": "sk_live_1234"}


def configured(gateway: str, **environment: str) -> GatewayConfiguration:
    gateways = registry(Settings.from_environment(environment)).gateways()
    return next(configuration for configuration in gateways if configuration.id == gateway)


async def test_without_a_key_stripe_is_the_simulators() -> None:
    stripe = configured("stripe", SIMULATOR_URL="http://127.0.0.1:18080/")
    assert (stripe.adapter, stripe.base_url) == ("stripe", "http://127.0.0.1:18080/stripe")
    assert stripe.lookup_lag_ms == 2_000


async def test_the_simulators_stripe_takes_a_card_through_the_same_adapter() -> None:
    async with serving(Simulator(DEFAULT_PROFILES)) as url:
        gateways = registry(Settings.from_environment({"SIMULATOR_URL": url}))
        charge = a_charge()
        outcome = await gateways[GatewayId("stripe")].charge(charge, lambda: True)
        assert isinstance(outcome, Succeeded | Declined)
        found = await gateways[GatewayId("stripe")].look_up(charge.attempt_id)
        assert isinstance(found, Found)
        assert found.outcome == outcome
        await gateways.close()


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
