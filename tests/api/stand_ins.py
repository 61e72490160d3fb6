"""The application's surroundings in memory: a handler, a reader and checks that do what a test tells them."""

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from api.admin import Admin
from api.answers import folded
from api.app import Services
from api.body import BodyLimits
from api.checks import FactsCheck
from api.circuits import Circuits
from api.client_address import Network, TrustedProxies
from api.connections import Connections
from api.dry_run import CurrentRoute
from api.experiment_results import ExperimentResults
from api.lag import LagMonitor
from api.live_configuration import LiveConfiguration
from api.live_experiments import LiveExperiments
from api.live_webhooks import LiveWebhooks
from api.merchant_keys import MerchantKeys
from api.ports import Check, Proof
from api.readiness import Readiness
from api.webhooks import Webhooks
from commands.circuit import decide
from commands.circuit_state import Circuit, new_circuit
from commands.handler import Handled
from infra.gateways.notifications import NotificationReader
from infra.memory.audit import MemoryAudit
from infra.memory.configuration import MemoryConfigurationTopic
from infra.memory.deliveries import MemoryDeliveries
from infra.memory.experiment_topic import MemoryExperimentsTopic
from infra.memory.experiments import MemoryExperiments
from infra.memory.rate_limits import LocalRateLimits
from infra.memory.topic import MemoryTail, MemoryTopic
from infra.memory.webhook_topic import MemoryWebhooksTopic
from infra.webhooks.secrets import Secrets
from infra.webhooks.targets import TargetRefused
from projections.circuit_facts import CircuitFacts
from projections.ports import Take
from schemas.access import AdminKey, MerchantKey
from schemas.circuit import CircuitKey, CircuitMessage, CircuitPolicy
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC, PAYMENTS_TOPIC
from schemas.customer import CustomerForgotten, customer_aggregate
from schemas.envelope import ALWAYS, Envelope, Position, Recorded, Window
from schemas.errors import BadSignature, LogUnavailable, StoreUnavailable, Unreadable
from schemas.experiment import Guardrails
from schemas.gateway import GatewayConfiguration
from schemas.http import PaymentBody
from schemas.ids import AttemptId, ExperimentId, GatewayId, PaymentId, attempt_id, customer_token
from schemas.instrument import PaymentMethod, UpiMasked
from schemas.metrics import Published
from schemas.notification import GatewayNotified, IgnoredNotification, NotificationMessage
from schemas.payment import (
    AttemptStarted,
    AttemptSucceeded,
    Order,
    PaymentEvent,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
)
from schemas.rate_limit import RateLimit
from schemas.routing import NO_FACTS, Candidate, Facts
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Schedule
from schemas.views import PaymentHistory
from tests.builders import SCHEDULE, a_gateway
from tests.vault import Vault

PAYMENT = PaymentId("pay_01jd8x5w3r0000000000000000")
CUSTOMER = customer_token(PAYMENT)
"""Who is `cust_001` to the merchant `m_001`."""
ATTEMPT = attempt_id(PAYMENT, 1, 1)
GATEWAY = GatewayId("razorpay")
START = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
STAMP_MS = round(START.timestamp() * 1000)
PARTITION = 5
ADMIN_KEY = "a key for the operators"
WEBHOOK_SECRET_KEY = "a-key-of-more-than-enough-characters"

REQUESTED = PaymentRequested(
    order=Order(
        merchant_id="m_001",
        customer_id=CUSTOMER,
        amount_minor=1000,
        currency="INR",
        payment_method="UPI",
        instrument=UpiMasked(vpa_masked="***@okhdfcbank", handle="okhdfcbank"),
    ),
    key_hash="k",
    fingerprint="f",
    requested_at=START,
)
ROUTED = PaymentRouted(
    strategy="PRIORITY",
    reason="lowest_priority_number",
    candidates=(Candidate(gateway=GATEWAY, priority=1, fee_bps=200, timeout_ms=2500),),
    excluded=(),
    policy=RetryPolicy(),
)
STARTED = AttemptStarted(
    attempt_id=ATTEMPT,
    number=1,
    gateway=GATEWAY,
    amount_minor=1000,
    currency="INR",
    payment_method="UPI",
    timeout_ms=2500,
    reason="first",
    started_at=START,
)
SUCCEEDED = AttemptSucceeded(attempt_id=ATTEMPT, gateway=GATEWAY, gateway_reference="pay_xyz", latency_ms=12)
PAID = PaymentSucceeded(attempt_id=ATTEMPT, gateway=GATEWAY, gateway_reference="pay_xyz")
SUCCESS = (REQUESTED, ROUTED, STARTED, SUCCEEDED, PAID)


def records(*events: PaymentEvent, void: Sequence[int] = ()) -> tuple[Recorded[PaymentEvent], ...]:
    """The events as one payment's records, at every second offset from 100; those numbered in `void` came too late."""
    return tuple(
        Recorded(
            envelope=Envelope(
                event_id=f"evt_{number}",
                aggregate_id=PAYMENT,
                sequence=number,
                at=START,
                epoch=1,
                window=Window(valid_from_ms=0, valid_until_ms=STAMP_MS + (0 if number in void else 20_000)),
                correlation_id="req_1",
                causation_id="req_1",
            ),
            event=event,
            position=Position(topic=PAYMENTS_TOPIC, partition=PARTITION, offset=98 + 2 * number),
            stamp_ms=STAMP_MS + number,
        )
        for number, event in enumerate(events, start=1)
    )


@dataclass
class ManualClock:
    """Stands still until it is told to move."""

    ms: float = 1_000_000.0
    minted: int = 0

    def now(self) -> datetime:
        return START + timedelta(milliseconds=self.ms - 1_000_000)

    def elapsed_ms(self) -> float:
        return self.ms

    def payment_id(self) -> PaymentId:
        return PAYMENT

    def experiment_id(self) -> ExperimentId:
        self.minted += 1
        return ExperimentId(f"exp_{self.minted:026}")

    def event_id(self) -> str:
        self.minted += 1
        return f"evt_{self.minted}"

    def draw(self) -> float:
        return 0.0


@dataclass(frozen=True)
class Call:
    body: PaymentBody
    key: str
    request_id: str
    attributes: Mapping[str, str]


class ScriptedHandler:
    """Answers every payment alike, once it `may_end`; like the real one, in a task that its caller cannot cancel."""

    def __init__(self, history: tuple[Recorded[PaymentEvent], ...] = (), *, is_replay: bool = False) -> None:
        self.handled = Handled(history=history or records(*SUCCESS), is_replay=is_replay)
        self.failure: Exception | None = None
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.calls: list[Call] = []
        self.called = asyncio.Event()
        self.ended = 0
        self._running: set[asyncio.Task[Handled]] = set()

    @property
    def in_flight(self) -> int:
        return len(self._running)

    async def request_payment(
        self, body: PaymentBody, key: str, request_id: str, attributes: Mapping[str, str]
    ) -> Handled:
        self.calls.append(Call(body, key, request_id, attributes))
        self.called.set()
        task = asyncio.create_task(self._pay())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def drain(self, timeout_s: float) -> int:
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        return len(self._running)

    async def _pay(self) -> Handled:
        await self.may_end.wait()
        self.ended += 1
        if self.failure is not None:
            raise self.failure
        return self.handled


@dataclass
class Reading:
    history: PaymentHistory | None
    source: Literal["projection", "log"] = "projection"
    next_offset: int = 200


@dataclass
class ScriptedReader:
    """Knows at most the one payment; notes what it was asked."""

    reading: Reading = field(default_factory=lambda: Reading(folded(records(*SUCCESS))))
    failure: Exception | None = None
    asked: list[tuple[PaymentId, Position | None, float]] = field(default_factory=list)

    async def read(self, payment_id: PaymentId, at_least: Position | None, wait_s: float) -> Reading:
        self.asked.append((payment_id, at_least, wait_s))
        if self.failure is not None:
            raise self.failure
        return self.reading


@dataclass
class MemoryHistories:
    history: tuple[Recorded[PaymentEvent], ...] = ()
    is_away: bool = False

    async def at_head(self, payment_id: PaymentId) -> Sequence[Recorded[PaymentEvent]]:
        if self.is_away:
            raise LogUnavailable("broker 1 at 10.0.0.1 does not answer")
        return [record for record in self.history if record.envelope.aggregate_id == payment_id]


@dataclass
class MemoryReviews:
    """Payments in review, in the order of their ids."""

    waiting: list[PaymentHistory] = field(default_factory=list)

    async def reviews(self, after: PaymentId | None, limit: int) -> Sequence[PaymentHistory]:
        return [one for one in self.waiting if after is None or one.payment.payment_id > after][:limit]


@dataclass
class MemoryMessages:
    """What is on the topic, with the payment and the request of each."""

    published: list[tuple[NotificationMessage, PaymentId, str]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None

    async def publish(self, message: NotificationMessage, payment_id: PaymentId, request_id: str) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        msgspec.json.encode(message)  # what cannot be written down is no message
        self.published.append((message, payment_id, request_id))
        self.arrived.set()


@dataclass
class ScriptedTail:
    is_current: bool = True
    behind_s: float = 0.0
    trouble: str | None = None


class MemoryCircuitWriter:
    """What is on the topic of messages, and a writer that obeys at once and tells the facts, unless it is away."""

    def __init__(self, facts: CircuitFacts) -> None:
        self.published: list[tuple[CircuitMessage, str | None]] = []
        self.is_away = False
        self.failure: Exception | None = None
        self._facts = facts
        self._circuits: dict[CircuitKey, Circuit] = {}
        self._told = 0

    async def publish(self, messages: Sequence[CircuitMessage], correlation_id: str | None = None) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.published += [(message, correlation_id) for message in messages]
        for message in () if self.is_away else messages:
            asyncio.get_running_loop().call_soon(self.obey, message)

    def obey(self, message: CircuitMessage) -> None:
        key, policy = (message.gateway, message.payment_method), CircuitPolicy()
        before = self._circuits.get(key) or new_circuit(*key, policy)
        self._circuits[key], events = decide(message, before, policy)
        for event in events:
            self._told += 1
            envelope = Envelope(
                event_id=f"evt_{self._told}",
                aggregate_id=":".join(key),
                sequence=self._told,
                at=event.at,
                epoch=1,
                window=ALWAYS,
                correlation_id="c",
                causation_id="c",
            )
            position = Position(topic=CIRCUITS_TOPIC, partition=0, offset=self._told)
            self._facts.take(Recorded(envelope=envelope, event=event, position=position, stamp_ms=STAMP_MS))


RAZORPAY = GatewayConfiguration(
    id=GATEWAY,
    name="Razorpay",
    adapter="simulator",
    base_url="http://127.0.0.1:1",
    payment_methods=("UPI", "CARD"),
    currencies=("INR",),
)


def signed(body: bytes) -> tuple[str, str]:
    return "X-Signature", hmac.digest(b"secret", body, "sha256").hex()


class Told(msgspec.Struct):
    """`about` is an attempt, or null for nothing of ours."""

    id: str
    about: AttemptId | None


class SignedReader:
    """Reads one JSON object, signed over its raw bytes."""

    def read(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> GatewayNotified | IgnoredNotification:
        if not hmac.compare_digest(headers.get("x-signature", "").encode(), signed(body)[1].encode()):
            raise BadSignature("not signed by us")
        try:
            told = msgspec.json.decode(body, type=Told)
        except msgspec.DecodeError as error:
            raise Unreadable(str(error)) from None
        if told.about is None:
            return IgnoredNotification(kind="refund.created", event_id=told.id)
        return GatewayNotified(
            gateway=GATEWAY, event_id=told.id, kind="paid", attempt_id=told.about, told="succeeded"
        )


class MemoryFacts:
    """The gateways that the routes know of, and what is `known` of them."""

    def __init__(self) -> None:
        self.known = NO_FACTS

    def gateways(self) -> tuple[GatewayConfiguration, ...]:
        return (a_gateway(GATEWAY, priority=1), a_gateway("stripe", payment_methods=("CARD",), priority=2))

    def retry_policy(self, merchant_id: str) -> RetryPolicy:
        return RetryPolicy()

    def schedule(self, method: PaymentMethod) -> Schedule:
        return SCHEDULE

    def facts(self) -> Facts:
        return self.known


@dataclass
class ScriptedCheck:
    proof: Proof = field(default_factory=lambda: Proof(ok=True, detail="answers"))
    failure: Exception | None = None
    hangs: bool = False

    async def check(self) -> Proof:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.failure is not None:
            raise self.failure
        return self.proof


async def nothing(_: str) -> Mapping[int, int]:
    return {}


@dataclass
class ScriptedMetrics:
    """What was published of gateways; everything stays until a test changes it."""

    told: dict[str, bytes] = field(default_factory=dict)
    published: Published | None = None
    away: bool = False

    async def figures(self, gateway: str) -> tuple[bytes | None, Published | None]:
        if self.away:
            raise StoreUnavailable("away")
        return self.told.get(gateway), self.published


async def no_offsets(_: str) -> Mapping[tuple[str, int], int]:
    return {}


async def refuse_ours(url: str) -> None:
    if "localhost" in url:
        raise TargetRefused("is not an address of the public network")


@dataclass
class World:
    """Everything the application works with, for a test to prepare and look at."""

    handler: ScriptedHandler = field(default_factory=ScriptedHandler)
    reader: ScriptedReader = field(default_factory=ScriptedReader)
    histories: MemoryHistories = field(default_factory=lambda: MemoryHistories(records(*SUCCESS)))
    customers: Vault = field(default_factory=Vault)
    customers_topic: MemoryTopic[CustomerForgotten] = field(
        default_factory=lambda: MemoryTopic(CONFIGURATION_TOPIC, customer_aggregate)
    )
    reviews: MemoryReviews = field(default_factory=MemoryReviews)
    messages: MemoryMessages = field(default_factory=MemoryMessages)
    notification_readers: Mapping[str, NotificationReader] = field(
        default_factory=lambda: {GATEWAY: SignedReader()}
    )
    published_metrics: ScriptedMetrics = field(default_factory=ScriptedMetrics)
    facts: MemoryFacts = field(default_factory=MemoryFacts)
    circuit_facts: CircuitFacts = field(default_factory=CircuitFacts)
    circuit_tail: ScriptedTail = field(default_factory=ScriptedTail)
    clock: ManualClock = field(default_factory=ManualClock)
    arms: MemoryExperiments = field(default_factory=MemoryExperiments)
    topic: MemoryConfigurationTopic = field(default_factory=MemoryConfigurationTopic)
    experiments_topic: MemoryExperimentsTopic = field(default_factory=MemoryExperimentsTopic)
    webhooks_topic: MemoryWebhooksTopic = field(default_factory=MemoryWebhooksTopic)
    log: ScriptedCheck = field(default_factory=ScriptedCheck)
    redis: ScriptedCheck = field(default_factory=ScriptedCheck)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    limits: BodyLimits = field(default_factory=BodyLimits)
    admin_keys: Sequence[AdminKey] = ()
    merchant_keys: Sequence[MerchantKey] | None = None
    client_limit: RateLimit = field(
        default_factory=lambda: RateLimit(name="client", per_second=100, burst=1000)
    )
    merchant_limit: RateLimit | None = None
    proxies: tuple[Network, ...] = ()
    connections_per_client: int = 256
    lag: Callable[[ManualClock], LagMonitor] = lambda clock: LagMonitor(clock, nothing, no_offsets, ())

    def __post_init__(self) -> None:
        """What is on its topics is loaded; `tail` and `experiments_tail` are how it hears of more."""
        self.configuration = LiveConfiguration(self._tail, self.topic, self.clock, confirmed_within_s=0.2)
        self.experiments = LiveExperiments(
            self._experiments_tail, self.experiments_topic, self.clock, confirmed_within_s=0.2
        )
        self.webhooks = LiveWebhooks(
            self._webhooks_tail, self.webhooks_topic, self.clock, confirmed_within_s=0.2
        )
        self.customers.meet("m_001", "cust_001", CUSTOMER)
        self.deliveries = MemoryDeliveries(60_000, lambda: self.clock.ms)
        self.secrets = Secrets([WEBHOOK_SECRET_KEY])
        self.circuit_writer = MemoryCircuitWriter(self.circuit_facts)

    def _tail(self, take: Take) -> MemoryTail:
        self.tail = self.topic.tail(take)
        self.tail.is_caught_up = True
        return self.tail

    def _experiments_tail(self, take: Take) -> MemoryTail:
        self.experiments_tail = self.experiments_topic.tail(take)
        self.experiments_tail.is_caught_up = True
        return self.experiments_tail

    def _webhooks_tail(self, take: Take) -> MemoryTail:
        self.webhooks_tail = self.webhooks_topic.tail(take)
        self.webhooks_tail.is_caught_up = True
        return self.webhooks_tail

    def services(self) -> Services:
        admin = Admin(ADMIN_KEY, self.admin_keys)
        required: dict[str, Check] = {"log": self.log}
        return Services(
            handler=self.handler,
            reader=self.reader,
            histories=self.histories,
            customers=self.customers,
            customer_log=self.customers_topic,
            reviews=self.reviews,
            messages=self.messages,
            notification_readers=self.notification_readers,
            registry=self.facts,
            drained_budget_ms=27_500,
            published_metrics=self.published_metrics,
            configuration=self.configuration,
            experiments=self.experiments,
            facts=self.facts,
            dry_run=CurrentRoute(self.facts),
            circuits=Circuits(
                self.circuit_facts,
                self.circuit_tail,
                self.circuit_writer,
                lambda: (RAZORPAY,),
                self.clock,
                0.3,
            ),
            experiment_limits=Guardrails(min_samples=100),
            experiment_results=ExperimentResults(
                self.arms, self.experiments.loaded, Guardrails(), self.clock
            ),
            audit=self.audit,
            webhooks=Webhooks(
                subscriptions=self.webhooks,
                deliveries=self.deliveries,
                secrets=self.secrets,
                check_target=refuse_ours,
            ),
            admin=admin,
            merchant_keys=MerchantKeys(admin, self.merchant_keys),
            rate_limits=LocalRateLimits(self.clock.elapsed_ms),
            client_limit=self.client_limit,
            merchant_limit=self.merchant_limit,
            proxies=TrustedProxies(self.proxies),
            connections=Connections(TrustedProxies(self.proxies), self.connections_per_client),
            clock=self.clock,
            readiness=Readiness(
                self.clock, required, {"redis": self.redis, "circuits": FactsCheck(self.circuit_tail)}
            ),
            lag=self.lag(self.clock),
            body_limits=self.limits,
        )
