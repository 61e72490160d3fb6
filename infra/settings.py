"""Every setting, from the environment, in one struct. A bad value stops the start with one line naming the variable."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from schemas.experiment import Guardrails
from schemas.rate_limit import RateLimit
from schemas.verification import SCHEDULES, Schedule, Schedules

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=30 * 86_400)]
Address = Annotated[
    str,
    Meta(
        pattern=r"^[^\s:]+:([1-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$",
        description="HOST:PORT",
    ),
]
PerSecond = Annotated[float, Meta(gt=0, le=10_000)]
Burst = Annotated[int, Meta(ge=1, le=1_000_000)]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", description="http:// or https:// URL")]
Secret = Annotated[str, Meta(min_length=8)]
"""An empty one, as a list that ends with a comma has, would let anybody sign."""
DEFAULT_ADMIN_KEY = "dev-internal-key"
DEFAULT_PERSONAL_DATA_KEY = "dev-personal-data-key-00000000000"
DEFAULT_WEBHOOK_SECRET_KEY = "dev-webhook-secret-key-0000000000"
DEFAULT_DATABASE_URL = "postgres://postgres:postgres@localhost:5432/payments_gateway"


class BadSetting(SystemExit):
    """Ends the process with its message: there is nothing sensible to go on with."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Variables have the upper-case names of the fields. Durations are in the unit of their suffix.

    Types, defaults and docstrings are docs/configuration.md: `python -m infra.configuration_reference` prints it.
    """

    database_url: Annotated[
        str,
        Meta(pattern=r"^postgres(ql)?://.+/.+", description="postgres://USER:PASSWORD@HOST:PORT/DATABASE"),
    ] = DEFAULT_DATABASE_URL
    """Ownership of keys, read models, and the vault of customers. All but the vault can be made again from Kafka."""
    redis_url: Annotated[
        str, Meta(pattern=r"^(rediss?|unix)://", description="redis://, rediss:// or unix:// URL")
    ] = "redis://127.0.0.1:6379/"
    """Hot metrics and leases of probes. It must not evict keys (`noeviction`)."""
    kafka_bootstrap_servers: str = "localhost:9092"
    """HOST:PORT of some brokers, comma-separated. Kafka is the store of record."""
    bind_addr: Address = "0.0.0.0:3000"
    """Where the API listens."""
    app_env: Literal["development", "production"] = "development"
    """`production` refuses default keys and simulated gateways, and writes logs as JSON."""
    internal_api_key: Annotated[str, Meta(min_length=8)] = DEFAULT_ADMIN_KEY
    """What operators send as `X-Internal-Api-Key`. Production refuses the default."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least that is logged, to standard error."""

    admin_keys_file: str | None = None
    """A JSON list of operators' keys, each with name, digest and scopes, read every second; `python -m streams.cli key`
    makes one."""
    merchant_keys_file: str | None = None
    """A JSON list of merchants' keys, by their digests, read every second; without it payments need no key."""
    rate_limit_per_second: PerSecond = 100
    """Of requests by one client address (a /64 of IPv6), at all processes together."""
    rate_limit_burst: Burst = 200
    """What one address may ask for at once after a silence."""
    max_connections_per_client: Positive = 256
    """That one address (a /64 of IPv6) may hold at one process. Those of `TRUSTED_PROXIES` may hold any number."""
    merchant_rate_limit_per_second: PerSecond | None = None
    """Of payments that one merchant asks for, from wherever; without it they are limited by address alone."""
    merchant_rate_limit_burst: Burst = 200
    """What one merchant may ask for at once after a silence."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks, comma-separated, of the proxies in front: X-Forwarded-For is believed from nobody else.
    With a proxy and without this all clients are one, with one rate limit; production warns of none."""

    personal_data_keys: tuple[Annotated[str, Meta(min_length=32)], ...] = (DEFAULT_PERSONAL_DATA_KEY,)
    """What fingerprints of requests and clients' addresses in Redis are hashed under: a list, comma-separated, the one
    in use first. A new one goes to the end until every process has it, and the old one out after 72 hours.
    `openssl rand -hex 32` makes one."""

    gateways_file: str | None = None
    """A JSON list of gateway configurations; without it, the four gateways of the local simulator, which production
    refuses. Whoever wants the adapter `simulator` there names it in the file."""
    simulator_url: str = "http://127.0.0.1:18080"
    """Where the simulated gateways listen."""
    gateway_timeout_ms: Annotated[int, Meta(ge=50, le=20_000)] = 2500
    """How long a gateway may take to answer a charge, where its own configuration does not say."""
    razorpay_base_url: HttpUrl = "https://api.razorpay.com"
    """Where Razorpay's API is."""
    razorpay_key_id: str | None = None
    """Without it `razorpay` is the simulator's, through the same adapter; production refuses that."""
    razorpay_key_secret: str | None = None
    """Given with its key id, or neither is."""
    razorpay_email: Annotated[str, Meta(pattern=r"^[^\s@]+@[^\s@]+$", description="address")] = (
        "payments@example.com"
    )
    """Razorpay insists on a customer's address and number, which we are not told: these stand for all of them."""
    razorpay_contact: Annotated[
        str, Meta(pattern=r"^\+[0-9]{8,15}$", description="number with its country's code")
    ] = "+919999999999"
    """As `RAZORPAY_EMAIL`."""
    razorpay_upi_collect: bool = False
    """UPI Collect ended on 28 February 2026 but for exempt merchants (such as MCC 6012 and 6211); intent is used."""
    razorpay_webhook_secrets: tuple[Secret, ...] = ()
    """What its notifications are signed with: while a secret is rotated both are valid."""
    stripe_base_url: HttpUrl = "https://api.stripe.com"
    """Where Stripe's API is."""
    stripe_secret_key: (
        Annotated[str, Meta(pattern=r"^[rs]k_[A-Za-z0-9_]+$(?!\n)", description="sk_… or rk_…")] | None
    ) = None
    """Without it `stripe` is the simulator's, through the same adapter; production refuses that."""
    stripe_return_url: HttpUrl = "https://payments.example/return"
    """Where Stripe sends a customer who has come back from a bank's or a wallet's page."""
    stripe_webhook_secrets: tuple[Secret, ...] = ()
    """As `RAZORPAY_WEBHOOK_SECRETS`."""

    verification_schedule_upi: tuple[Seconds, ...] = SCHEDULES["UPI"].after_s
    """Seconds after its start at which an attempt in doubt is asked for, ascending; then a person decides."""
    verification_schedule_card: tuple[Seconds, ...] = SCHEDULES["CARD"].after_s
    """As `VERIFICATION_SCHEDULE_UPI`."""
    verification_schedule_netbanking: tuple[Seconds, ...] = SCHEDULES["NETBANKING"].after_s
    """As `VERIFICATION_SCHEDULE_UPI`."""
    verification_schedule_wallet: tuple[Seconds, ...] = SCHEDULES["WALLET"].after_s
    """As `VERIFICATION_SCHEDULE_UPI`."""
    clock_guard_ms: Annotated[int, Meta(ge=0, le=10_000)] = 750
    """Clocks of brokers and of Postgres differ by less than this (production runs NTP)."""
    verifier_consumer_group: str = "payment-verifier-v1"
    """Consumer group of the verifiers."""
    verifier_consumer_name: str = "payment-verifier-1"
    """As `PROJECTION_CONSUMER_NAME`."""
    payment_verifier_web: Address = "127.0.0.1:13002"
    """Where it tells its liveness, readiness and metrics."""

    retry_max_attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    """Gateways that one payment is tried at, at most."""
    retry_latency_budget_ms: Annotated[int, Meta(ge=100, le=60_000)] = 10_000
    """For all attempts of a payment together."""

    retry_policies_file: str | None = None
    """A JSON object of retry policies by merchant id; every other merchant has `RETRY_MAX_ATTEMPTS` and
    `RETRY_LATENCY_BUDGET_MS`."""

    max_in_flight: Positive = 1024
    """Payments at once in one process; above it the answer is 503 before anything is done."""
    acknowledgement_timeout_ms: Annotated[int, Meta(ge=100, le=10_000)] = 2000
    """How long Kafka may take to acknowledge an append; after that it is ambiguous, and no gateway is called."""
    drain_timeout_s: Positive = 30
    """Payments in flight have so long to end when the API is told to stop; no less than one payment may take."""

    kafka_replication_factor: Positive = 1
    """3 in production, with `KAFKA_MIN_INSYNC_REPLICAS` 2: an acknowledgement is not an fsync."""
    kafka_min_insync_replicas: Positive = 1
    """Replicas that have to have a record before it is acknowledged."""

    database_pool_size: Positive = 8
    """Connections to Postgres of one API process, beside four for ownership."""
    projection_consumer_group: str = "projections-v1"
    """Consumer group of the projection workers."""
    projection_consumer_name: str = "projection-worker-1"
    """Unique per worker: it is its static membership, so that a restart takes a second instead of a minute."""
    projection_worker_web: Address = "127.0.0.1:13001"
    """Where it tells its liveness, readiness and metrics."""

    metrics_stream_key: str = "payments.events.v1"
    """The topic that hot metrics are made of."""
    metrics_stream_group: str = "metrics-agg-v1"
    """Consumer group of the metrics workers."""
    metrics_consumer_name: str = "metrics-worker-1"
    """As `PROJECTION_CONSUMER_NAME`."""
    metrics_worker_web: Address = "127.0.0.1:13003"
    """Where it tells its liveness, readiness and metrics."""

    circuit_policies_file: str | None = None
    """A JSON object of circuit policies by `gateway:METHOD`, `gateway` or `*`; what is left out has its default."""
    circuit_consumer_group: str = "circuits-v1"
    """Consumer group of the circuit writers."""
    circuit_consumer_name: str = "circuit-writer-1"
    """As `PROJECTION_CONSUMER_NAME`."""
    circuit_writer_web: Address = "127.0.0.1:13004"
    """Where it tells its liveness, readiness and metrics."""

    experiment_guardrail_min_samples: Annotated[int, Meta(ge=10, le=1_000_000)] = 100
    """Independent customers in each arm before any verdict on a winner or on latency; harm is judged from 10 on. These
    three are limits of the analyzer, not rules by themselves, and an experiment's own come before them."""
    experiment_guardrail_max_success_drop: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """The margin: a winner is certainly not worse than control by it, and what differs by less is no difference. A
    treatment is paused as soon as it is credibly worse, by however little."""
    experiment_guardrail_max_latency_multiplier: Annotated[float, Meta(gt=1, le=100)] = 1.5
    """A treatment that is so much slower is always paused, once that is credible."""
    experiment_consumer_group: str = "experiments-v1"
    """Consumer group of the analyzers."""
    experiment_consumer_name: str = "experiment-analyzer-1"
    """As `PROJECTION_CONSUMER_NAME`."""
    experiment_analyzer_web: Address = "127.0.0.1:13005"
    """Where it tells its liveness, readiness and metrics."""

    webhook_secret_keys: tuple[Annotated[str, Meta(min_length=32)], ...] = (DEFAULT_WEBHOOK_SECRET_KEY,)
    """What every subscription's secret is made of: a list, comma-separated, the newest first. An old one goes when each
    subscription's secret was rotated. `openssl rand -hex 32` makes one."""
    webhook_allowed_targets: tuple[str, ...] = ()
    """Networks, such as 127.0.0.0/8, that webhooks may be sent to though they are not public, by plain http too: for
    development, and refused in production."""
    webhook_consumer_group: str = "webhooks-v1"
    """Consumer group of the dispatchers."""
    webhook_consumer_name: str = "webhook-dispatcher-1"
    """As `PROJECTION_CONSUMER_NAME`."""
    webhook_dispatcher_web: Address = "127.0.0.1:13006"
    """Where it tells its liveness, readiness and metrics."""

    def __repr__(self) -> str:
        """Without a single value: most of these are addresses, and some are secrets."""
        return "Settings(…)"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        given: dict[str, Any] = {
            name: environment[name.upper()]
            for name in cls.__struct_fields__
            if environment.get(name.upper(), "") != ""
        }
        for name in _LISTS & given.keys():
            given[name] = [part.strip() for part in given[name].split(",")]
        for name, text in given.items():
            _check(cls, name, text)
        settings = msgspec.convert(given, cls, strict=False)
        if settings.app_env == "production" and settings.internal_api_key == DEFAULT_ADMIN_KEY:
            raise BadSetting("INTERNAL_API_KEY: the default key is refused in production")
        if settings.app_env == "production" and DEFAULT_PERSONAL_DATA_KEY in settings.personal_data_keys:
            raise BadSetting("PERSONAL_DATA_KEYS: the default key is refused in production")
        _check_webhooks(settings)
        if settings.app_env == "production" and settings.database_url == DEFAULT_DATABASE_URL:
            raise BadSetting("DATABASE_URL: the default user and password are refused in production")
        _ = settings.proxies
        if settings.drain_timeout_s * 1000 < settings.retry_latency_budget_ms + settings.gateway_timeout_ms:
            raise BadSetting(
                "DRAIN_TIMEOUT_S: is less than one payment may take, so that a restart would cut it off"
            )
        if (settings.razorpay_key_id is None) != (settings.razorpay_key_secret is None):
            raise BadSetting("RAZORPAY_KEY_SECRET: is given with RAZORPAY_KEY_ID, or neither is")
        for method, schedule in settings.schedules.items():
            if not schedule.after_s or list(schedule.after_s) != sorted(set(schedule.after_s)):
                raise BadSetting(
                    f"VERIFICATION_SCHEDULE_{method}: seconds must be given, each more than the last"
                )
        return settings

    @property
    def schedules(self) -> Schedules:
        return {
            "UPI": Schedule(after_s=self.verification_schedule_upi),
            "CARD": Schedule(after_s=self.verification_schedule_card),
            "NETBANKING": Schedule(after_s=self.verification_schedule_netbanking),
            "WALLET": Schedule(after_s=self.verification_schedule_wallet),
        }

    @property
    def client_limit(self) -> RateLimit:
        return RateLimit(name="client", per_second=self.rate_limit_per_second, burst=self.rate_limit_burst)

    @property
    def merchant_limit(self) -> RateLimit | None:
        if self.merchant_rate_limit_per_second is None:
            return None
        return RateLimit(
            name="merchant",
            per_second=self.merchant_rate_limit_per_second,
            burst=self.merchant_rate_limit_burst,
        )

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Raises BadSetting."""
        return tuple(_network(text) for text in self.trusted_proxies)

    @property
    def guardrails(self) -> Guardrails:
        """Of experiments that have none of their own."""
        return Guardrails(
            min_samples=self.experiment_guardrail_min_samples,
            max_success_drop=self.experiment_guardrail_max_success_drop,
            max_latency_multiplier=self.experiment_guardrail_max_latency_multiplier,
        )

    @property
    def bind(self) -> tuple[str, int]:
        return host_and_port(self.bind_addr)


def _check_webhooks(settings: Settings) -> None:
    for network in settings.webhook_allowed_targets:
        try:
            ip_network(network)
        except ValueError:
            raise BadSetting(f"WEBHOOK_ALLOWED_TARGETS: {network!r} is no network") from None
    if settings.app_env == "production":
        if settings.webhook_allowed_targets:
            raise BadSetting("WEBHOOK_ALLOWED_TARGETS: is for development, and refused in production")
        if DEFAULT_WEBHOOK_SECRET_KEY in settings.webhook_secret_keys:
            raise BadSetting("WEBHOOK_SECRET_KEYS: the default key is refused in production")


def host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise BadSetting(f"TRUSTED_PROXIES: {text!r} is no address and no network (CIDR)") from None
    if network.prefixlen == 0:
        raise BadSetting("TRUSTED_PROXIES: whoever trusts every address believes every client")
    return network


_LISTS = {name for name, kind in get_type_hints(Settings).items() if get_origin(kind) is tuple}


def _check(cls: type[Settings], name: str, text: object) -> None:
    try:
        msgspec.convert({name: text}, cls, strict=False)
    except msgspec.ValidationError as error:
        shown = "" if any(word in name for word in ("key", "url", "secret")) else f" (is {text!r})"
        raise BadSetting(f"{name.upper()}: {str(error).partition(' - at')[0]}{shown}") from None
