"""What the routes need of the rest of the system."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeVar

from commands.experiment_state import Experiments as KnownExperiments
from commands.handler import Handled
from commands.routing.configuration import Configured
from commands.routing.experiments import Routed
from schemas.base import Value
from schemas.circuit import CircuitKey, CircuitMessage, KnownCircuit
from schemas.configuration import SetRouting
from schemas.delivery import DeliveryFilter, DeliveryView
from schemas.envelope import Position, Recorded
from schemas.experiment import ExperimentCommand
from schemas.http import PaymentBody
from schemas.ids import CustomerToken, PaymentId
from schemas.notification import NotificationMessage
from schemas.payment import Order, PaymentEvent
from schemas.rate_limit import Allowance, RateLimit
from schemas.routing_configuration import RoutingConfiguration
from schemas.views import PaymentHistory, Watermark
from schemas.webhook import DeliveryId, SubscriptionId

S = TypeVar("S", covariant=True)


class Handler(Protocol):
    async def request_payment(
        self, body: PaymentBody, key: str, request_id: str, attributes: Mapping[str, str]
    ) -> Handled:
        """Runs the whole payment whatever becomes of the caller. Raises Refused, Unavailable."""

    @property
    def in_flight(self) -> int: ...

    async def drain(self, timeout_s: float) -> int:
        """Wait for the payments in flight; how many have not ended in time."""


class RateLimits(Protocol):
    async def take(self, client: str, limit: RateLimit) -> Allowance:
        """Count one request of the client against the limit, if there is room for it. Never raises."""


class Reading(Protocol):
    """`history` is None when there is no such payment; `next_offset` is how far its partition was read."""

    @property
    def history(self) -> PaymentHistory | None: ...

    @property
    def source(self) -> Literal["projection", "log"]: ...

    @property
    def next_offset(self) -> int: ...


class Reader(Protocol):
    async def read(self, payment_id: PaymentId, at_least: Position | None, wait_s: float) -> Reading:
        """Raises ReadTooFarBehind, LogUnavailable, StoreUnavailable."""


class Histories(Protocol):
    async def at_head(self, payment_id: PaymentId) -> Sequence[Recorded[PaymentEvent]]:
        """Empty when there is no such payment. Raises LogUnavailable, StoreUnavailable, ReadTooFarBehind."""


class Messages(Protocol):
    async def publish(self, message: NotificationMessage, payment_id: PaymentId, request_id: str) -> None:
        """Returns when it is on the log. Raises LogUnavailable, AppendAmbiguous."""


class Live(Protocol[S]):
    """A topic as this process has heard it."""

    @property
    def current(self) -> S:
        """The last state known to this process."""

    @property
    def is_loaded(self) -> bool:
        """Whether all that was on the topic when this process started is known to it; no payment is taken before."""

    def loaded(self) -> S:
        """Like `current`; raises LogUnavailable before it is loaded."""


class Configuration(Live[Configured], Protocol):
    async def set(self, command: SetRouting, request_id: str) -> Configured:
        """The configuration with it in force. Raises Refused: somebody else was faster, or it cannot be told in time
        whether it counts; LogUnavailable: nothing was set."""


class Experiments(Live[KnownExperiments], Protocol):
    async def obey(self, command: ExperimentCommand, request_id: str) -> KnownExperiments:
        """The experiments as the command leaves them. Raises Refused: their state does not allow it, or it cannot be
        told in time whether it counts; LogUnavailable: nothing was done."""


class Deliveries(Protocol):
    """Raises StoreUnavailable."""

    async def page(
        self, before: DeliveryId | None, wanted: DeliveryFilter, limit: int
    ) -> Sequence[DeliveryView]:
        """Newest first, from the one before `before` on."""

    async def find(self, delivery_id: DeliveryId) -> DeliveryView | None: ...

    async def dead_of(
        self, subscription_id: SubscriptionId, after: DeliveryId | None, limit: int
    ) -> Sequence[DeliveryId]:
        """The oldest first, from the one after `after` on."""

    async def replay(self, delivery_ids: Collection[DeliveryId]) -> None:
        """They are due now, and from the start of their schedule."""


class Customers(Protocol):
    """The vault. Raises StoreUnavailable."""

    async def ids_of(self, tokens: Collection[CustomerToken]) -> Mapping[CustomerToken, str]:
        """The merchants' own ids, of those that are not forgotten."""

    async def token_of(self, merchant_id: str, customer_id: str) -> CustomerToken | None: ...

    async def forget(self, tokens: Collection[CustomerToken]) -> None:
        """Nobody can tell any more whose they were."""


class DryRun(Protocol):
    def route(self, order: Order, configuration: RoutingConfiguration) -> Routed:
        """The route that the order would get under that configuration, with all else as it is now."""


class Reviews(Protocol):
    async def reviews(self, after: PaymentId | None, limit: int) -> Sequence[PaymentHistory]:
        """Payments that a person must decide about, the oldest first, beyond `after`. Raises StoreUnavailable."""


class CircuitFacts(Protocol):
    """What this process knows of circuits, and decides by."""

    @property
    def known(self) -> Mapping[CircuitKey, KnownCircuit]: ...

    @property
    def version(self) -> int:
        """The offset of the last event that is in them."""

    def expecting(self, request_id: str) -> AbstractContextManager[Future[KnownCircuit]]:
        """The circuit as the command of that id leaves it; entered before the command is sent."""


class Tail(Protocol):
    """How new facts are."""

    @property
    def is_current(self) -> bool: ...

    @property
    def behind_s(self) -> float: ...

    @property
    def trouble(self) -> str | None: ...


class CircuitMessages(Protocol):
    async def publish(self, messages: Sequence[CircuitMessage], correlation_id: str | None = None) -> None:
        """Returns when they are on the log. Raises LogUnavailable, AppendAmbiguous."""


class Proof(Value, frozen=True, kw_only=True):
    """What a dependency's check came to; the detail is shown to anyone who asks."""

    ok: bool
    detail: str


class Check(Protocol):
    async def check(self) -> Proof:
        """Ask the dependency itself, now. Whatever it raises, and a second without an answer, means not ok."""


Watermarks = Callable[[], Awaitable[Mapping[tuple[str, int], Watermark]]]
"""Where a group's projection stands, by topic and partition."""

EndOffsets = Callable[[str], Awaitable[Mapping[int, int]]]
"""Of a topic, by partition: the offset that its next record will have."""

GroupOffsets = Callable[[str], Awaitable[Mapping[tuple[str, int], int]]]
"""Of a consumer group, by topic and partition: the offset it would continue from."""
