"""Which gateways there are: their configurations, and the adapter that speaks to each."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from infra.clock import SystemClock
from infra.gateways.certain import CertainGateway, Gateway
from infra.gateways.http import GatewayHttp
from infra.gateways.keys import (
    razorpay_key,
    razorpay_webhook_secrets,
    stripe_key,
    stripe_webhook_secrets,
)
from infra.gateways.notifications import NotificationReader
from infra.gateways.razorpay.adapter import RazorpayGateway
from infra.gateways.razorpay.notifications import RazorpayNotifications
from infra.gateways.razorpay.requests import Account
from infra.gateways.simulated import SimulatedGateway
from infra.gateways.stripe.adapter import StripeGateway
from infra.gateways.stripe.notifications import StripeNotifications
from infra.settings import BadSetting, Settings
from schemas.gateway import Adapter, GatewayConfiguration
from schemas.ids import GatewayId
from schemas.instrument import PAYMENT_METHODS, PaymentMethod
from schemas.routing import NO_FACTS, Facts
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Schedule

_LOCAL: tuple[tuple[str, str, Adapter, int, int], ...] = (
    ("razorpay", "Razorpay", "razorpay", 10, 200),
    ("stripe", "Stripe", "stripe", 20, 290),
    ("payu", "PayU", "simulator", 30, 180),
    ("cashfree", "Cashfree", "simulator", 40, 175),
)

_STRIPE_METHODS: tuple[PaymentMethod, ...] = ("UPI", "CARD", "WALLET")
_STRIPE_SEARCH: Mapping[str, Any] = {"lookup_lag_ms": 90_000, "checks_per_second": 10.0}
"""It is less than a minute behind, says Stripe, on an ordinary day; and it takes 20 calls a second, whoever asks: two
for each payment (a look and a capture or a giving back), of one verifier process. For more processes say less."""


class GatewayRegistry:
    """Satisfies `Gateways` and `RoutingFacts`: configuration and adapters, all in this process."""

    def __init__(
        self,
        configurations: Iterable[GatewayConfiguration],
        policy: RetryPolicy,
        policies: Mapping[str, RetryPolicy],
        settings: Settings,
    ) -> None:
        self._configurations = tuple(configurations)
        self._policy = policy
        self._policies = policies
        self._schedules = settings.schedules
        self._http = {c.id: GatewayHttp(c.base_url, c.max_concurrent_calls) for c in self._configurations}
        elapsed_ms = SystemClock().elapsed_ms
        self._gateways = {
            c.id: CertainGateway(_adapter(c, self._http[c.id], settings, elapsed_ms), elapsed_ms)
            for c in self._configurations
        }

    def __getitem__(self, gateway: GatewayId) -> CertainGateway:
        return self._gateways[gateway]

    def gateways(self) -> tuple[GatewayConfiguration, ...]:
        return self._configurations

    def retry_policy(self, merchant_id: str) -> RetryPolicy:
        return self._policies.get(merchant_id, self._policy)

    def schedule(self, method: PaymentMethod) -> Schedule:
        return self._schedules[method]

    def facts(self) -> Facts:
        """Nothing is known here of how gateways do."""
        return NO_FACTS

    async def close(self) -> None:
        for http in self._http.values():
            await http.close()


def registry(settings: Settings) -> GatewayRegistry:
    policy = RetryPolicy(
        max_attempts=settings.retry_max_attempts, latency_budget_ms=settings.retry_latency_budget_ms
    )
    configurations = _from_file(settings) if settings.gateways_file else _simulated(settings)
    return GatewayRegistry(configurations, policy, retry_policies(settings), settings)


def retry_policies(settings: Settings) -> dict[str, RetryPolicy]:
    if settings.retry_policies_file is None:
        return {}
    try:
        text = Path(settings.retry_policies_file).read_bytes()
        policies = msgspec.json.decode(text, type=dict[str, RetryPolicy])
    except (OSError, msgspec.MsgspecError) as error:
        raise BadSetting(f"RETRY_POLICIES_FILE: {error}") from None
    longest_ms = max((policy.latency_budget_ms for policy in policies.values()), default=0)
    if longest_ms + settings.gateway_timeout_ms > settings.drain_timeout_s * 1000:
        raise BadSetting("RETRY_POLICIES_FILE: a payment may take longer than DRAIN_TIMEOUT_S")
    return policies


def _adapter(
    configuration: GatewayConfiguration,
    http: GatewayHttp,
    settings: Settings,
    elapsed_ms: Callable[[], float],
) -> Gateway:
    match configuration.adapter:
        case "simulator":
            return SimulatedGateway(http)
        case "razorpay":
            return RazorpayGateway(http, _razorpay_account(configuration, settings), elapsed_ms)
        case "stripe":
            key = stripe_key(configuration, settings)
            return StripeGateway(http, secret_key=key, return_url=settings.stripe_return_url)


def _razorpay_account(configuration: GatewayConfiguration, settings: Settings) -> Account:
    key_id, key_secret = razorpay_key(configuration, settings)
    return Account(
        key_id=key_id,
        key_secret=key_secret,
        email=settings.razorpay_email,
        contact=settings.razorpay_contact,
        takes_upi_collect=settings.razorpay_upi_collect,
    )


def _base_url(gateway: str, settings: Settings) -> str:
    if gateway == "razorpay" and settings.razorpay_key_id is not None:
        return settings.razorpay_base_url
    if gateway == "stripe" and settings.stripe_secret_key is not None:
        return settings.stripe_base_url
    return f"{settings.simulator_url.rstrip('/')}/{gateway}"


def _limits(adapter: object, settings: Settings) -> Mapping[str, Any]:
    is_in_earnest = adapter == "stripe" and settings.stripe_secret_key is not None
    return _STRIPE_SEARCH if is_in_earnest else {}


def notification_reader(configuration: GatewayConfiguration, settings: Settings) -> NotificationReader | None:
    """None for a gateway that tells nothing. Without a secret a real one is never believed."""
    match configuration.adapter:
        case "razorpay":
            secrets = razorpay_webhook_secrets(configuration, settings)
            return RazorpayNotifications(configuration.id, secrets)
        case "stripe":
            return StripeNotifications(configuration.id, stripe_webhook_secrets(configuration, settings))
        case "simulator":
            return None


def _from_file(settings: Settings) -> tuple[GatewayConfiguration, ...]:
    assert settings.gateways_file is not None
    try:
        given = msgspec.json.decode(Path(settings.gateways_file).read_bytes(), type=list[dict[str, object]])
        filled = [
            {"timeout_ms": settings.gateway_timeout_ms, **_limits(one.get("adapter"), settings), **one}
            for one in given
        ]
        configurations = msgspec.convert(filled, tuple[GatewayConfiguration, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise BadSetting(f"GATEWAYS_FILE: {error}") from None
    if len({configuration.id for configuration in configurations}) != len(configurations):
        raise BadSetting("GATEWAYS_FILE: two gateways have the same id")
    return configurations


def _simulated(settings: Settings) -> tuple[GatewayConfiguration, ...]:
    if settings.app_env == "production":
        raise BadSetting("GATEWAYS_FILE: is needed in production, where no gateway is simulated unawares")
    return tuple(
        GatewayConfiguration(
            id=GatewayId(id_),
            name=name,
            adapter=adapter,
            base_url=_base_url(id_, settings),
            payment_methods=_STRIPE_METHODS if adapter == "stripe" else PAYMENT_METHODS,
            currencies=("INR", "USD", "EUR"),
            priority=priority,
            fee_bps=fee_bps,
            timeout_ms=settings.gateway_timeout_ms,
            **_limits(adapter, settings),
        )
        for id_, name, adapter, priority, fee_bps in _LOCAL
    )
