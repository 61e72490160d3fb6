"""Where Razorpay is spoken to, and with whose keys, which nobody else gets to see."""

import hashlib
import hmac
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from infra.gateways.certain import CertainGateway
from infra.gateways.http import GatewayHttp
from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET
from infra.gateways.razorpay.adapter import RazorpayGateway
from infra.gateways.registry import notification_reader, registry
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.defaults import DEFAULT_PROFILES
from infra.settings import BadSetting, Settings
from infra.telemetry import configure_logging
from schemas.charge import NotFound
from schemas.errors import BadSignature
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.notification import IgnoredNotification
from schemas.outcome import AwaitingCustomer, InDoubt
from tests.infra.gateways.razorpay.world import ACCOUNT, KEY_ID, KEY_SECRET, UPI, a_charge, a_world, clock
from tests.infra.gateways.serving import serving

pytestmark = pytest.mark.time_jumps

RAZORPAY = GatewayId("razorpay")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = {"RAZORPAY_KEY_ID": KEY_ID, "RAZORPAY_KEY_SECRET": KEY_SECRET}


def razorpay(settings: Settings) -> GatewayConfiguration:
    return next(gateway for gateway in registry(settings).gateways() if gateway.id == RAZORPAY)


async def test_without_keys_razorpay_is_the_simulator_s_through_the_same_adapter() -> None:
    async with serving(Simulator(DEFAULT_PROFILES)) as url:
        gateways = registry(Settings.from_environment({"SIMULATOR_URL": url}))
        charge = a_charge(UPI)
        assert await gateways[RAZORPAY].look_up(charge.attempt_id) == NotFound()
        assert isinstance(await gateways[RAZORPAY].charge(charge, lambda: True), AwaitingCustomer)
        await gateways.close()


def test_with_keys_razorpay_is_razorpay() -> None:
    here, there = Settings.from_environment({}), Settings.from_environment(KEYS)
    assert razorpay(here).base_url == "http://127.0.0.1:18080/razorpay"
    assert razorpay(there).base_url == "https://api.razorpay.com"
    assert razorpay(here).adapter == razorpay(there).adapter == "razorpay"


@pytest.mark.parametrize("name", KEYS)
def test_half_a_key_stops_the_start(name: str) -> None:
    with pytest.raises(BadSetting, match="RAZORPAY_KEY_SECRET"):
        Settings.from_environment({name: KEYS[name]})


# Notifications


@pytest.mark.parametrize(
    ("environment", "believed"),
    [
        ({}, [RAZORPAY_WEBHOOK_SECRET]),
        ({"RAZORPAY_WEBHOOK_SECRETS": "the new one,the old one"}, ["the new one", "the old one"]),
        (KEYS, []),
        (KEYS | {"RAZORPAY_WEBHOOK_SECRETS": "the new one"}, ["the new one"]),
    ],
)
def test_the_simulator_s_secret_is_believed_only_where_razorpay_is_simulated(
    environment: dict[str, str], believed: list[str]
) -> None:
    settings = Settings.from_environment(environment)
    reader = notification_reader(razorpay(settings), settings)
    assert reader is not None
    body = b'{"event": "order.paid", "payload": {}}'
    for secret in (RAZORPAY_WEBHOOK_SECRET, "the new one", "the old one", ""):
        headers = {"X-Razorpay-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
        if secret in believed:
            assert isinstance(reader.read(headers, body, NOW), IgnoredNotification)
        else:
            with pytest.raises(BadSignature):
                reader.read(headers, body, NOW)


# Secrecy


@pytest.fixture(params=["development", "production"])
def written(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Iterator[pytest.CaptureFixture[str]]:
    """What a process with its logs configured writes."""
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    configure_logging(Settings(app_env=request.param, log_level="DEBUG"))
    yield capsys
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


async def test_no_key_is_in_a_log_an_error_or_an_outcome(written: pytest.CaptureFixture[str]) -> None:
    shown: list[object] = []
    async with a_world() as world:
        charge = a_charge(UPI)
        for kind in ("401", "500", "silence"):
            if kind == "silence":
                world.silence("POST", "/payments/create/json")
            else:
                world.meddle("POST", "/payments/create/json", int(kind), {"error": {}})
            shown.append(await world.pay(a_charge(UPI, timeout_ms=300)))
        http = GatewayHttp("http://127.0.0.1:1", max_concurrent_calls=1)
        shown.append(await RazorpayGateway(http, ACCOUNT, clock.elapsed_ms).charge(charge, lambda: True))
        broken = CertainGateway(RazorpayGateway(http, ACCOUNT, lambda: 1 / 0), clock.elapsed_ms)
        assert await broken.charge(charge, lambda: True) == InDoubt(reason="interrupted")
        await http.close()
    shown += [ACCOUNT, world.gateway, Settings.from_environment(KEYS)]
    with pytest.raises(BadSetting) as refusal:
        Settings.from_environment({"RAZORPAY_KEY_SECRET": KEY_SECRET})
    shown.append(refusal.value)

    output = "".join(written.readouterr())
    assert "an adapter failed in the middle of a charge" in output
    text = output + "".join(f"{thing!r} {thing}" for thing in shown)
    for secret in (KEY_ID, KEY_SECRET, ACCOUNT.authorization, "okhdfcbank"):
        assert secret not in text
