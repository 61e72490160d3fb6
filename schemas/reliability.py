"""What a person should know, on `reliability.events.v1`, and its end. Ids follow from what they tell of: the same one
may be published more than once.

An alarm about a gateway or a projection *stands* until its end. Its `episode` counts what was told of its subject, so
that two processes that notice the same thing write events with one id. Of these an event counts only if what stands
allows it: an alarm with the episode after the last one, an end with that of the alarm.
"""

from typing import Literal, assert_never

from schemas.base import Event
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.instrument import PaymentMethod


class DuplicateChargeDetected(Event, frozen=True, kw_only=True):
    """A charge that should not be: a second one of a payment, or one after we said FAILURE."""

    payment_id: PaymentId
    attempt_id: AttemptId
    gateway: GatewayId
    gateway_reference: str
    kept: bool


class DuplicateChargeCompensated(Event, frozen=True, kw_only=True):
    """Its end: the customer has the money back."""

    payment_id: PaymentId
    attempt_id: AttemptId
    gateway: GatewayId
    by: Literal["void", "refund"]


class VerificationOverdue(Event, frozen=True, kw_only=True):
    """Verification could not tell what became of a payment; a person has to decide."""

    payment_id: PaymentId
    unsettled: tuple[AttemptId, ...]


class VerificationOverdueEnded(Event, frozen=True, kw_only=True):
    """Its end, of one attempt: it has become certain."""

    payment_id: PaymentId
    attempt_id: AttemptId


class SuccessRateDropped(Event, frozen=True, kw_only=True):
    """Payments by a gateway and method succeed credibly less often in the last five minutes than in the 55 before."""

    gateway: GatewayId
    payment_method: PaymentMethod
    episode: int
    rate: float
    """Of what the gateway answers for, as in WindowFigures; 0..1."""
    outcomes: int
    """That the rate is made of."""
    usual_rate: float


class SuccessRateDropEnded(Event, frozen=True, kw_only=True):
    """Its end. `rate` is None where nothing was heard of them for an hour."""

    gateway: GatewayId
    payment_method: PaymentMethod
    episode: int
    because: Literal["recovered", "silent", "usual_by_now"]
    rate: float | None
    outcomes: int


class GatewayDegraded(Event, frozen=True, kw_only=True):
    """A gateway answers much more slowly in the last five minutes than in the 55 before: a tenth of its calls takes
    more than twice as long as all but a twentieth did."""

    gateway: GatewayId
    payment_method: PaymentMethod
    episode: int
    latency_ms_p90: float
    calls: int
    usual_latency_ms_p95: float


class GatewayDegradationEnded(Event, frozen=True, kw_only=True):
    """Its end. `latency_ms_p90` is None where nothing was heard of it."""

    gateway: GatewayId
    payment_method: PaymentMethod
    episode: int
    because: Literal["recovered", "silent", "usual_by_now"]
    latency_ms_p90: float | None
    calls: int


class ProjectionStalled(Event, frozen=True, kw_only=True):
    """The log has grown for a minute and what reads it has not moved: what it keeps grows old."""

    group: str
    topic: str
    episode: int
    partitions: tuple[int, ...]
    records: int
    """Not yet taken in, of all partitions."""


class ProjectionStallEnded(Event, frozen=True, kw_only=True):
    """Its end: every partition is within five seconds of the log."""

    group: str
    topic: str
    episode: int


GatewayAlarm = SuccessRateDropped | GatewayDegraded
StandingAlarm = GatewayAlarm | ProjectionStalled
StandingEnd = SuccessRateDropEnded | GatewayDegradationEnded | ProjectionStallEnded
ReliabilityEvent = (
    DuplicateChargeDetected
    | DuplicateChargeCompensated
    | VerificationOverdue
    | VerificationOverdueEnded
    | SuccessRateDropped
    | SuccessRateDropEnded
    | GatewayDegraded
    | GatewayDegradationEnded
    | ProjectionStalled
    | ProjectionStallEnded
)


def subject_of(event: ReliabilityEvent) -> str:
    """What it is about, and its record's key."""
    match event:
        case (
            DuplicateChargeDetected()
            | DuplicateChargeCompensated()
            | VerificationOverdue()
            | VerificationOverdueEnded()
        ):
            return event.payment_id
        case SuccessRateDropped() | SuccessRateDropEnded() | GatewayDegraded() | GatewayDegradationEnded():
            return f"{event.gateway}:{event.payment_method}"
        case ProjectionStalled() | ProjectionStallEnded():
            return f"{event.group}:{event.topic}"
        case _:
            assert_never(event)
