"""What the handler needs of the outside world; `infra` has a real class and an in-memory twin of each."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from schemas.charge import Burning, Capture, Charge, GivingBack, LookUp, Reference
from schemas.circuit import CircuitView
from schemas.envelope import Outgoing, Position, Recorded
from schemas.gateway import GatewayConfiguration
from schemas.ids import AttemptId, ExperimentId, GatewayId, PaymentId
from schemas.instrument import PaymentMethod
from schemas.outcome import Outcome
from schemas.payment import PaymentEvent, PaymentRouted, RequestPayment
from schemas.reliability import ReliabilityEvent
from schemas.reservation import Claimed, Held, Reservation, Reserved
from schemas.routing import Facts
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Received, Schedule, Takeover


class Clock(Protocol):
    """The only source of time and of new ids."""

    def now(self) -> datetime: ...

    def elapsed_ms(self) -> float:
        """Milliseconds since boot, also through a suspended machine; never jumps."""

    def payment_id(self) -> PaymentId: ...

    def experiment_id(self) -> ExperimentId: ...

    def event_id(self) -> str: ...

    def draw(self) -> float:
        """Uniform in [0, 1)."""


class EventLog(Protocol):
    @property
    def is_available(self) -> bool:
        """False while appends are known to fail, so that a new payment can be refused before anything is done."""

    async def append(self, events: Sequence[Outgoing[PaymentEvent]]) -> Sequence[Recorded[PaymentEvent]]:
        """Append one aggregate's events in order, and return when all are acknowledged, as they stand on the log.

        Raises LogUnavailable when certainly nothing was appended, AppendAmbiguous for anything else that is
        not *every event acknowledged, in order, in time*.
        """


class Histories(Protocol):
    """A payment's records in offset order, void ones included.

    Raises LogUnavailable, StoreUnavailable, ReadTooFarBehind.
    """

    async def at_head(self, payment_id: PaymentId) -> Sequence[Recorded[PaymentEvent]]:
        """Through the end offset that its partition has now."""

    async def through(
        self, payment_id: PaymentId, position: Position
    ) -> Sequence[Recorded[PaymentEvent]]: ...


class Reservations(Protocol):
    """Raises StoreUnavailable when it cannot tell: the key may then be ours or not, and nothing may be contacted."""

    async def reserve(self, wish: Reservation) -> Reserved | Held: ...

    async def find(self, merchant_id: str, key_hash: str) -> Held | None: ...

    async def claim(self, wish: Reservation, epoch: int) -> Claimed | None:
        """Compare and set: the row moves from `epoch` to the next one, if its window has ended. None: it has not, or
        somebody else was faster."""


class VerificationQueue(Protocol):
    """What verification has to do. Raises StoreUnavailable."""

    async def claim(self, slots: Mapping[GatewayId, int], window_ms: int) -> Sequence[Takeover]:
        """Take over payments that are due and that nobody owns, at most so many of each gateway: first those that
        something was told of, then what is urgent, then last looks, to which a share of the slots is left; of each the
        longest due first.

        Due is what the projection says, and what an unused message is about. A claim is one compare-and-set of the
        ownership row, in the store's clock; no two verifiers get the same payment. What asks no gateway takes a slot of
        NO_GATEWAY, and so does what would ask one that is not named.
        """

    async def used(self, messages: Sequence[Received]) -> None:
        """These have become events, or tell nothing new."""


class Alarms(Protocol):
    """Tells what a person should know; equal alarms have equal ids, so one may be told twice. Raises Unavailable."""

    async def publish(self, alarm: ReliabilityEvent) -> None: ...


class Gateway(Protocol):
    """Every operation is bounded by its own timeout and never raises for what a gateway or a network does.

    `known` is the gateway's own reference, where an earlier answer or notification named it: a shorter way to what
    stands under ours, and never a reason to tell something else.
    """

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        """`may_send` is asked once more when the connection is there, right before the first byte."""

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp: ...

    async def burn(self, reference: Reference) -> Burning:
        """Make the reference unusable, if nothing lives under it yet, so that a paused sender cannot charge by it."""

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        """Take the money that was only authorised; also when it was taken before."""

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        """Void or refund whatever was charged under the reference, once, however often it is asked for."""


class Gateways(Protocol):
    def __getitem__(self, gateway: GatewayId) -> Gateway: ...


class RoutingFacts(Protocol):
    """What routing knows without asking anybody."""

    def gateways(self) -> tuple[GatewayConfiguration, ...]: ...

    def retry_policy(self, merchant_id: str) -> RetryPolicy: ...

    def schedule(self, method: PaymentMethod) -> Schedule: ...

    def facts(self) -> Facts:
        """Everything else, as one consistent view."""


class Probes(Protocol):
    """Who may test a gateway whose circuit is half open. Bounded, and never raises: it is a payment that waits."""

    async def take(self, gateway: GatewayId, payment_method: PaymentMethod, view: CircuitView) -> str | None:
        """A lease of the view's trial that is nobody else's, or None: `view.probes` of them are out.

        It is free again after `view.probe_lease_s`, whatever becomes of its holder. Where nobody can count them, each
        process has one now and then.
        """


class Shadow(Protocol):
    def follow(self, command: RequestPayment, routed: PaymentRouted) -> None:
        """Told of a payment when all is done that is done for it now. Returns at once, and never raises."""
