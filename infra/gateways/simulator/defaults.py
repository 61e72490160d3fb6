"""Four gateways on an ordinary day: each its own speed, fee and manner of declining, and no faults."""

from msgspec.structs import replace

from infra.gateways.local import (
    RAZORPAY_KEY_ID,
    RAZORPAY_KEY_SECRET,
    RAZORPAY_WEBHOOK_SECRET,
    STRIPE_SECRET_KEY,
    STRIPE_WEBHOOK_SECRET,
)
from infra.gateways.simulator.profile import Latency, Profile, Webhooks, WeightedDecline, Wire

NO_FUNDS = WeightedDecline(
    code="BAD_REQUEST_ERROR", source="customer", reason="insufficient_funds", weight=34
)
CANCELLED = WeightedDecline(
    code="BAD_REQUEST_ERROR", source="customer", reason="payment_cancelled", weight=14
)
WRONG_PIN = WeightedDecline(code="BAD_REQUEST_ERROR", source="customer", reason="incorrect_pin", weight=12)
RISK = WeightedDecline(
    code="BAD_REQUEST_ERROR", source="business", reason="payment_risk_check_failed", weight=6
)
BANK = WeightedDecline(code="GATEWAY_ERROR", source="issuer_bank", reason="bank_technical_error", weight=16)
BANK_AWAY = WeightedDecline(code="GATEWAY_ERROR", source="issuer_bank", reason="bank_not_available", weight=6)
GATEWAY = WeightedDecline(code="GATEWAY_ERROR", source="gateway", reason="gateway_technical_error", weight=8)
TRAFFIC = WeightedDecline(
    code="GATEWAY_ERROR", source="gateway", reason="payment_declined_due_to_high_traffic", weight=4
)

RAZORPAY = Profile(
    gateway="razorpay",
    wire="razorpay",
    credentials=f"{RAZORPAY_KEY_ID}:{RAZORPAY_KEY_SECRET}",
    seed=11,
    success_rate=0.93,
    latency=Latency(median_ms=180),
    fee_bps=200,
    declines=(NO_FUNDS, CANCELLED, WRONG_PIN, RISK, BANK, GATEWAY),
    pending_resolves_ms=300,
)
STRIPE = Profile(
    gateway="stripe",
    wire="stripe",
    credentials=STRIPE_SECRET_KEY,
    seed=12,
    success_rate=0.90,
    latency=Latency(median_ms=140, sigma=0.25),
    fee_bps=290,
    declines=(NO_FUNDS, CANCELLED, RISK, BANK, GATEWAY),
    pending_resolves_ms=300,
)
PAYU = Profile(
    gateway="payu",
    seed=13,
    success_rate=0.86,
    latency=Latency(median_ms=240, sigma=0.5),
    fee_bps=180,
    declines=(NO_FUNDS, CANCELLED, WRONG_PIN, RISK, BANK, BANK_AWAY, GATEWAY, TRAFFIC),
)
CASHFREE = Profile(
    gateway="cashfree",
    seed=14,
    success_rate=0.88,
    latency=Latency(median_ms=160, sigma=0.4),
    fee_bps=175,
    declines=(NO_FUNDS, CANCELLED, WRONG_PIN, RISK, BANK, GATEWAY, TRAFFIC),
)

DEFAULT_PROFILES = (RAZORPAY, STRIPE, PAYU, CASHFREE)

_WEBHOOK_SECRETS: dict[Wire, str] = {"razorpay": RAZORPAY_WEBHOOK_SECRET, "stripe": STRIPE_WEBHOOK_SECRET}


def telling(profile: Profile, url: str) -> Profile:
    """The gateway, telling what happens at `url/<gateway>`, if its wire tells anything and it does not know where."""
    secret = _WEBHOOK_SECRETS.get(profile.wire)
    if secret is None or profile.webhooks is not None:
        return profile
    webhooks = Webhooks(url=f"{url.rstrip('/')}/{profile.gateway}", secrets=(secret,))
    return replace(profile, webhooks=webhooks)
