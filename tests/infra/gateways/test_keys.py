"""The simulator's keys are public, so they open nothing but the simulator."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from infra.clock import SystemClock
from infra.gateways import local
from infra.gateways.registry import notification_reader, registry
from infra.settings import BadSetting, Settings
from schemas.errors import BadSignature
from schemas.gateway import GatewayConfiguration

SIMULATOR = "http://127.0.0.1:18080"
PRODUCTION = {
    "APP_ENV": "production",
    "INTERNAL_API_KEY": "an-internal-key",
    "PERSONAL_DATA_KEYS": "a-key-of-enough-characters-for-persons",
    "WEBHOOK_SECRET_KEYS": "a-key-of-enough-characters-for-webhooks",
    "DATABASE_URL": "postgres://gateway:of-our-own@db.internal/payments_gateway",
}
KEYS = {
    "razorpay": {"RAZORPAY_KEY_ID": "rzp_live_4Xyz", "RAZORPAY_KEY_SECRET": "do-not-tell"},
    "stripe": {"STRIPE_SECRET_KEY": "sk_live_1234"},
}
ELSEWHERE = [
    "https://api.example.com",
    f"{SIMULATOR}.example.com/alpha",
    f"{SIMULATOR}0/alpha",
    "http://127.0.0.1:18081/alpha",
]


def a_file(folder: Path, adapter: str, base_url: str = f"{SIMULATOR}/alpha") -> str:
    gateway = {
        "id": "alpha",
        "name": "Alpha",
        "adapter": adapter,
        "base_url": base_url,
        "payment_methods": ["CARD"],
        "currencies": ["INR"],
    }
    file = folder / "gateways.json"
    file.write_text(json.dumps([gateway]))
    return str(file)


def gateways(environment: dict[str, str]) -> tuple[GatewayConfiguration, ...]:
    return registry(Settings.from_environment(environment)).gateways()


@pytest.mark.parametrize("keys", [{}, KEYS["razorpay"], KEYS["razorpay"] | KEYS["stripe"]])
def test_production_never_runs_on_the_four_simulated_gateways(keys: dict[str, str]) -> None:
    with pytest.raises(BadSetting, match=r"^GATEWAYS_FILE: "):
        gateways(PRODUCTION | keys)


@pytest.mark.parametrize(
    ("adapter", "variable"), [("razorpay", "RAZORPAY_KEY_ID"), ("stripe", "STRIPE_SECRET_KEY")]
)
@pytest.mark.parametrize("base_url", [f"{SIMULATOR}/alpha", *ELSEWHERE])
def test_production_does_not_start_without_the_key_of_a_gateway(
    tmp_path: Path, adapter: str, variable: str, base_url: str
) -> None:
    environment = PRODUCTION | {"GATEWAYS_FILE": a_file(tmp_path, adapter, base_url)}
    with pytest.raises(BadSetting, match=rf"^{variable}: "):
        gateways(environment)
    assert [gateway.id for gateway in gateways(environment | KEYS[adapter])] == ["alpha"]


def test_production_simulates_a_gateway_only_where_its_file_says_so(tmp_path: Path) -> None:
    environment = PRODUCTION | {"GATEWAYS_FILE": a_file(tmp_path, "simulator")}
    assert [gateway.adapter for gateway in gateways(environment)] == ["simulator"]


@pytest.mark.parametrize("base_url", ELSEWHERE)
@pytest.mark.parametrize("adapter", KEYS)
def test_the_simulators_key_is_sent_to_nobody_else(tmp_path: Path, adapter: str, base_url: str) -> None:
    with pytest.raises(BadSetting, match=r"^(RAZORPAY_KEY_ID|STRIPE_SECRET_KEY): "):
        gateways({"GATEWAYS_FILE": a_file(tmp_path, adapter, base_url)})


@pytest.mark.parametrize("adapter", KEYS)
@pytest.mark.parametrize(
    ("base_url", "environment", "is_believed"),
    [
        (f"{SIMULATOR}/alpha", {}, True),
        (f"{SIMULATOR}/alpha", PRODUCTION, False),
        *((base_url, {}, False) for base_url in ELSEWHERE),
    ],
)
def test_the_simulators_secret_is_believed_of_nobody_else(
    adapter: str, base_url: str, environment: dict[str, str], is_believed: bool
) -> None:
    configuration = GatewayConfiguration(
        id="alpha",  # type: ignore[arg-type]
        name="Alpha",
        adapter=adapter,  # type: ignore[arg-type]
        base_url=base_url,
        payment_methods=("CARD",),
        currencies=("INR",),
    )
    reader = notification_reader(configuration, Settings.from_environment(environment))
    assert reader is not None
    now = SystemClock().now()
    body = b'{"id":"evt_1","type":"ping","event":"ping","created":1,"payload":{},"data":{"object":{"object":"x"}}}'
    headers = signed_by_the_simulator(adapter, body, int(now.timestamp()))
    if is_believed:
        reader.read(headers, body, now)
    else:
        with pytest.raises(BadSignature):
            reader.read(headers, body, now)


def signed_by_the_simulator(adapter: str, body: bytes, at_s: int) -> dict[str, str]:
    if adapter == "razorpay":
        return {"X-Razorpay-Signature": _hmac(local.RAZORPAY_WEBHOOK_SECRET, body)}
    signature = _hmac(local.STRIPE_WEBHOOK_SECRET, b"%d." % at_s + body)
    return {"Stripe-Signature": f"t={at_s},v1={signature}"}


def _hmac(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
