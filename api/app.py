"""The application: every route, what surrounds them, and what they are given to work with."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.middleware import Middleware

from api import errors, metrics
from api.admin import Admin
from api.audit import Audit, AuditRoutes
from api.bandit_state import BanditStateRoutes
from api.body import BodyLimits
from api.circuits import CircuitRoutes, Circuits
from api.client_address import TrustedProxies
from api.configuration import ConfigurationRoutes
from api.connections import Connections
from api.contract import routes as contract
from api.customers import CustomerLog, CustomerRoutes
from api.deliveries import DeliveryRoutes
from api.dry_run import DryRunRoutes
from api.experiment_results import ExperimentResultRoutes, ExperimentResults
from api.experiments import ExperimentRoutes
from api.gateway_metrics import GatewayMetricsRoutes, PublishedMetrics
from api.gateways import GatewayRoutes
from api.kill_switches import KillSwitchRoutes
from api.lag import LagMonitor
from api.live_facts import Registry
from api.merchant_keys import MerchantKeys
from api.middleware import Guarded, Measured, RequestId
from api.notifications import NotificationRoutes
from api.ops import OpsRoutes
from api.payments import PaymentRoutes
from api.ports import (
    Configuration,
    Customers,
    DryRun,
    Experiments,
    Handler,
    Histories,
    Messages,
    RateLimits,
    Reader,
    Reviews,
)
from api.rate_limits import MerchantLimit, RateLimited
from api.readiness import Readiness
from api.retry_policies import RetryPolicyRoutes
from api.reviews import ReviewRoutes
from api.scoring import ScoringRoutes
from api.security_headers import SecurityHeaders
from api.webhooks import WebhookRoutes, Webhooks
from commands.ports import Clock, RoutingFacts
from infra.gateways.notifications import NotificationReader
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC, EXPERIMENTS_TOPIC
from schemas.experiment import Guardrails
from schemas.rate_limit import RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`draining` is set once, when the process is told to go: it then admits nothing and says so."""

    handler: Handler
    reader: Reader
    histories: Histories
    customers: Customers
    customer_log: CustomerLog
    reviews: Reviews
    messages: Messages
    notification_readers: Mapping[str, NotificationReader]
    registry: Registry
    drained_budget_ms: int
    """Payments that may take longer may be cut off by a restart."""
    published_metrics: PublishedMetrics
    configuration: Configuration
    experiments: Experiments
    facts: RoutingFacts
    dry_run: DryRun
    circuits: Circuits
    experiment_limits: Guardrails
    experiment_results: ExperimentResults
    audit: Audit
    webhooks: Webhooks
    admin: Admin
    merchant_keys: MerchantKeys
    rate_limits: RateLimits
    client_limit: RateLimit
    merchant_limit: RateLimit | None
    proxies: TrustedProxies
    connections: Connections
    clock: Clock
    readiness: Readiness
    lag: LagMonitor
    body_limits: BodyLimits = field(default_factory=BodyLimits)
    draining: asyncio.Event = field(default_factory=asyncio.Event)


def create_app(services: Services) -> Starlette:
    @asynccontextmanager
    async def watching(_: Starlette) -> AsyncIterator[None]:
        async with services.readiness.running(), services.lag.running():
            yield

    payments = PaymentRoutes(
        services.handler,
        services.reader,
        services.histories,
        services.customers,
        lambda: services.configuration.is_loaded and services.experiments.is_loaded,
        services.draining,
        services.body_limits,
        services.merchant_keys,
        MerchantLimit(services.rate_limits, services.merchant_limit),
    )
    notifications = NotificationRoutes(
        services.notification_readers, services.messages, services.clock, services.body_limits
    )
    reviews = ReviewRoutes(
        services.admin,
        services.reviews,
        services.reader,
        services.customers,
        services.messages,
        services.clock,
        services.body_limits,
    )
    gateway_metrics = GatewayMetricsRoutes(
        services.published_metrics, {gateway.id for gateway in services.registry.gateways()}
    )
    configuration = ConfigurationRoutes(
        services.admin, services.configuration, services.facts, services.body_limits
    )
    gateways = GatewayRoutes(
        services.admin, services.configuration, services.registry.gateways(), services.body_limits
    )
    retry_policies = RetryPolicyRoutes(
        services.admin,
        services.configuration,
        services.registry,
        services.drained_budget_ms,
        services.body_limits,
    )
    kill_switches = KillSwitchRoutes(
        services.admin, services.configuration, services.facts, services.body_limits
    )
    dry_run = DryRunRoutes(
        services.admin,
        services.configuration,
        services.dry_run,
        services.facts,
        services.body_limits,
    )
    experiments = ExperimentRoutes(
        services.admin,
        services.merchant_keys,
        services.experiments,
        services.facts,
        services.experiment_limits,
        services.clock,
        services.body_limits,
    )
    circuits = CircuitRoutes(services.admin, services.circuits, services.body_limits)
    audit = AuditRoutes(
        services.admin,
        services.audit,
        lambda: {
            CONFIGURATION_TOPIC: services.configuration.current.routing.version,
            EXPERIMENTS_TOPIC: services.experiments.current.version,
            CIRCUITS_TOPIC: services.circuits.version + 1,
        },
    )
    customers = CustomerRoutes(
        services.admin,
        services.customers,
        services.customer_log,
        services.clock,
        services.body_limits,
    )
    ops = OpsRoutes(services.readiness, services.lag, services.draining)
    app = Starlette(
        routes=[
            *payments.routes(),
            *notifications.routes(),
            *reviews.routes(),
            *gateway_metrics.routes(),
            *configuration.routes(),
            *gateways.routes(),
            *retry_policies.routes(),
            *kill_switches.routes(),
            *dry_run.routes(),
            *experiments.routes(),
            *ScoringRoutes(services.admin, services.merchant_keys, services.facts).routes(),
            *BanditStateRoutes(services.facts).routes(),
            *circuits.routes(),
            *ExperimentResultRoutes(services.experiment_results).routes(),
            *audit.routes(),
            *customers.routes(),
            *WebhookRoutes(services.admin, services.webhooks, services.clock, services.body_limits).routes(),
            *DeliveryRoutes(services.admin, services.webhooks, services.body_limits).routes(),
            *ops.routes(),
            *metrics.routes(),
            *contract.routes(),
        ],
        middleware=[
            Middleware(SecurityHeaders, proxies=services.proxies),
            Middleware(RequestId, clock=services.clock),
            Middleware(Measured, clock=services.clock),
            Middleware(Guarded),
            Middleware(
                RateLimited,
                limits=services.rate_limits,
                limit=services.client_limit,
                proxies=services.proxies,
                admin=services.admin,
            ),
        ],
        exception_handlers=errors.HANDLERS,
        lifespan=watching,
    )
    app.router.redirect_slashes = False
    return app
