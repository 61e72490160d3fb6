"""Four gateways of three wires with every fault that the simulator has, three merchants, and schedules of seconds.

Everything that takes days in production (a schedule of checks, a gateway's horizon) takes half a minute here, so that
the end of it is seen.
"""

from collections.abc import Mapping
from random import Random
from typing import get_args

from msgspec.structs import replace

from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET, STRIPE_WEBHOOK_SECRET
from infra.gateways.simulator.defaults import CASHFREE, PAYU, RAZORPAY, STRIPE
from infra.gateways.simulator.profile import Fault, FaultKind, Latency, Profile, Webhooks
from schemas.circuit import CircuitPolicy
from schemas.routing_configuration import RetryPolicy

HORIZON_S = 30
SCHEDULE = "2,4,8,16,30"
BUDGET_MS = 3_000
GATEWAY_TIMEOUT_MS = 1_000

BAND_MINOR = 10_000_000
"""Amounts lie in four bands. A gateway takes those up to the end of its own: so each is the first choice of some."""
METHODS = {
    "razorpay": ("UPI", "CARD", "NETBANKING", "WALLET"),
    "stripe": ("UPI", "CARD", "WALLET"),
    "payu": ("UPI", "CARD", "NETBANKING", "WALLET"),
    "cashfree": ("UPI", "CARD", "NETBANKING", "WALLET"),
}
GATEWAYS: tuple[Mapping[str, object], ...] = tuple(
    {
        "id": name,
        "name": name.title(),
        "adapter": name if name in ("razorpay", "stripe") else "simulator",
        "payment_methods": methods,
        "currencies": ["INR"],
        "priority": 10 * number,
        "maximum_amount_minor": (number + 1) * BAND_MINOR - 1,
        "horizon_s": HORIZON_S,
        "lookup_lag_ms": 2_000,
    }
    for number, (name, methods) in enumerate(METHODS.items(), start=1)
)

_POLICY = RetryPolicy(latency_budget_ms=BUDGET_MS)
POLICIES = {
    "m_hasty": replace(_POLICY, retry_on_timeout=True),
    "m_keeps": replace(_POLICY, keep_late_success=True),
}
MERCHANTS = ("m_plain", *POLICIES)

_STRICT = CircuitPolicy(first_open_s=2, longest_open_s=8, probe_lease_s=5, least_baseline=0.97)
_SILENT = CircuitPolicy(mode="metrics_only")
CIRCUITS = {"razorpay": _STRICT, "payu": _STRICT, "stripe": _SILENT, "cashfree": _SILENT}
"""Two of the gateways may open, and for seconds only, so that a run sees circuits open, be probed and close while their
writers are killed: they are held against what they never were, and break now and then (`spells.py`). If all could, most
payments would have one gateway to go to, and the second attempts, which might charge twice, would be few: so two never
open, and count only."""

KINDS: tuple[FaultKind, ...] = tuple(kind for kind in get_args(FaultKind) if kind != "lookup_500")
"""What can befall a charge or an order. The order is the seed's."""


def profiles(seed: int, webhook_urls: Mapping[str, str] | None = None) -> tuple[Profile, ...]:
    """The gateways of that seed; those that notify tell the URL of their name."""
    chance = Random(seed)
    razorpay = replace(RAZORPAY, pending_resolves_ms=1_500, late_status="authorized")
    stripe = replace(STRIPE, pending_resolves_ms=2_500)
    payu = replace(PAYU, pending_rate=0.06, pending_resolves_ms=4_000)
    cashfree = replace(CASHFREE, pending_rate=0.04)  # of these no customer ever acts
    urls = webhook_urls or {}
    return tuple(_troubled(profile, chance, urls) for profile in (razorpay, stripe, payu, cashfree))


def _troubled(profile: Profile, chance: Random, urls: Mapping[str, str]) -> Profile:
    faults = [Fault(kind=kind, probability=chance.uniform(0.003, 0.03)) for kind in KINDS]
    chance.shuffle(faults)
    if profile.wire == "razorpay":
        faults += [Fault(kind=kind, probability=chance.uniform(0, 0.01), at="order") for kind in KINDS]
    return replace(
        profile,
        seed=chance.randrange(1_000_000),
        success_rate=0.75,
        latency=Latency(median_ms=100, sigma=0.5),
        late_capture_rate=0.15,
        late_capture_after_ms=chance.randrange(4_000, 14_000),
        lookup_lag_ms=chance.choice((0, 500, 1_500)),
        faults=tuple(faults),
        webhooks=_webhooks(profile, chance, urls.get(profile.gateway)),
    )


def _webhooks(profile: Profile, chance: Random, url: str | None) -> Webhooks | None:
    """Its rates are drawn in any case, so that a seed is the same gateways wherever they tell."""
    lost, doubled, reordered = (chance.uniform(0.05, 0.3) for _ in range(3))
    if url is None:
        return None
    secret = RAZORPAY_WEBHOOK_SECRET if profile.wire == "razorpay" else STRIPE_WEBHOOK_SECRET
    return Webhooks(
        url=url, secrets=(secret,), lost=lost, doubled=doubled, reordered=reordered, reordered_by_ms=3_000
    )


def healed(profile: Profile) -> Profile:
    """It answers as it should; what became of each charge stays."""
    webhooks = profile.webhooks and replace(profile.webhooks, lost=0.0)
    return replace(profile, faults=(), lookup_lag_ms=0, webhooks=webhooks)


def settings(policies_file: str, circuits_file: str) -> dict[str, str]:
    return {
        "RETRY_LATENCY_BUDGET_MS": str(BUDGET_MS),
        "GATEWAY_TIMEOUT_MS": str(GATEWAY_TIMEOUT_MS),
        "RETRY_POLICIES_FILE": policies_file,
        "CIRCUIT_POLICIES_FILE": circuits_file,
        "WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8",
        **{f"VERIFICATION_SCHEDULE_{method}": SCHEDULE for method in METHODS["razorpay"]},
    }
