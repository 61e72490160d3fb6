"""The payment aggregate's vocabulary: what may be asked of it and everything that can happen to it.

The list of events is closed and its names are for ever: they are on an immutable log.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from schemas.base import Command, Event, Value
from schemas.charge import GivingBack
from schemas.dimensions import Account, Dimensions
from schemas.gateway import GatewayConfiguration
from schemas.ids import AttemptId, CustomerToken, GatewayId, PaymentId
from schemas.instrument import MaskedInstrument, PaymentMethod
from schemas.outcome import Blame, Decline, DoubtReason, NextAction, NotSentReason, Outcome
from schemas.routing import AttemptReason, Candidate, Decision, Excluded, Facts, Probe, Strategy
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Schedule, Source, Verdict

CLIENT_NETWORK = "client-network"
"""Of a payment's attributes: where it was asked for from, as far as may be kept for ever."""

# Values


class Order(Value, frozen=True, kw_only=True):
    """What is to be paid, by whom and to whom; nothing in it may not be written down."""

    merchant_id: str
    customer_id: str
    """In a command the merchant's own id. In events a token (`cus~…`): only the vault knows whose it is (ADR 11). The
    oldest events have the merchant's own."""
    amount_minor: int
    currency: str
    payment_method: PaymentMethod
    instrument: MaskedInstrument
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    """`X-Context-*` headers, as far as rules and experiment filters in force list them, and the client's network."""


class Failure(Value, frozen=True, kw_only=True):
    """Why nobody was charged, certainly."""

    code: str
    blame: Blame
    customer_may_retry: bool
    gateway_code: str | None = None


# Commands


class RequestPayment(Command, frozen=True, kw_only=True):
    payment_id: PaymentId
    order: Order
    customer: CustomerToken
    """What events call the order's customer."""
    key_hash: str
    fingerprint: str
    policy: RetryPolicy
    gateways: tuple[GatewayConfiguration, ...]
    schedule: Schedule
    epoch: int
    at: datetime
    facts: Facts = Facts()
    draw: float = 0.0
    """Uniform in [0, 1): all the chance there is in a decision."""
    probe: Probe | None = None


class RecordOutcome(Command, frozen=True, kw_only=True):
    """What a gateway call came to. `elapsed_ms` is since the request was admitted, on a clock that never jumps."""

    payment_id: PaymentId
    attempt_id: AttemptId
    outcome: Outcome
    latency_ms: int
    elapsed_ms: int
    schedule: Schedule
    epoch: int
    at: datetime
    shut: frozenset[GatewayId] = frozenset()
    """At this moment, to this payment: nothing is tried there next."""


class HandOverPayment(Command, frozen=True, kw_only=True):
    """The owner has done what it can and gives the payment up, so that nobody waits for its window to end."""


class TakeOverPayment(Command, frozen=True, kw_only=True):
    claim_id: str
    by: Literal["payment_service", "payment_verifier"]


class RecordVerification(Command, frozen=True, kw_only=True):
    """What a look at an attempt proves; `outcome` is a success, a decline or *not sent*, or None for nothing."""

    attempt_id: AttemptId
    verdict: Verdict
    outcome: Outcome | None
    source: Source
    schedule: Schedule
    at: datetime


class SettleReview(Command, frozen=True, kw_only=True):
    """A person has decided what became of an attempt that verification could not settle."""

    attempt_id: AttemptId
    verdict: Literal["succeeded", "declined", "not_sent"]
    settled_by: str
    note: str
    gateway_reference: str | None
    schedule: Schedule
    at: datetime


class RecordGivingBack(Command, frozen=True, kw_only=True):
    attempt_id: AttemptId
    answer: GivingBack
    at: datetime


class CloseUnattempted(Command, frozen=True, kw_only=True):
    """End a request that never got an attempt, `after` so long."""

    after: timedelta
    at: datetime


class SettlePayment(Command, frozen=True, kw_only=True):
    """Bring a payment to the end that its attempts have earned, where that did not reach the log."""


PaymentCommand = (
    RequestPayment
    | RecordOutcome
    | HandOverPayment
    | TakeOverPayment
    | RecordVerification
    | SettleReview
    | RecordGivingBack
    | CloseUnattempted
    | SettlePayment
)

# Events: the request and its route


class PaymentRequested(Event, frozen=True, kw_only=True):
    """`key_hash` and `fingerprint` make the reservation an index that the log can rebuild."""

    order: Order
    key_hash: str
    fingerprint: str
    requested_at: datetime


class ExperimentAssigned(Event, frozen=True, kw_only=True):
    """Sufficient by itself to count the customer: the request may be on the log since long before."""

    experiment_id: str
    variant: str
    treatment: bool
    customer_id: str = ""
    """As in the order. Empty in events from before experiments had results."""


class PaymentRouted(Event, frozen=True, kw_only=True):
    """Candidates in the order they will be tried, and every excluded gateway with its reason."""

    strategy: Strategy
    reason: str
    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...]
    policy: RetryPolicy
    decision: Decision | None = None
    """None of those from before there were scores."""


# Events: one attempt


class AttemptStarted(Event, frozen=True, kw_only=True):
    """Written ahead of the call, and sufficient by itself to ask the gateway what became of it."""

    attempt_id: AttemptId
    number: int
    gateway: GatewayId
    amount_minor: int
    currency: str
    payment_method: PaymentMethod
    timeout_ms: int
    reason: AttemptReason
    started_at: datetime
    first_check_at: datetime | None = None
    """When the gateway is asked what became of it, if nobody knows by then."""
    final_check_at: datetime | None = None
    """When a failed attempt is looked at for the last time: the end of the gateway's horizon."""
    dimensions: Dimensions | None = None
    """By what the gateway's figures are kept; None in attempts from before there were any."""
    probe: str | None = None
    """The lease under which the attempt tests a gateway whose circuit is half open."""


class AttemptSucceeded(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    gateway: GatewayId
    gateway_reference: str
    latency_ms: int
    verified: bool = False
    """Learned by asking afterwards, not from the answer to the call."""
    account: Account | None = None


class AttemptDeclined(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    gateway: GatewayId
    decline: Decline
    latency_ms: int
    gateway_reference: str | None = None
    verified: bool = False
    account: Account | None = None


class AttemptNotSent(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    gateway: GatewayId
    reason: NotSentReason
    latency_ms: int
    verified: bool = False
    account: Account | None = None


class AttemptAwaitingCustomer(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    gateway: GatewayId
    gateway_reference: str
    next_action: NextAction
    latency_ms: int
    account: Account | None = None


class AttemptInDoubt(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    gateway: GatewayId
    reason: DoubtReason
    latency_ms: int
    gateway_reference: str | None = None
    http_status: int | None = None
    account: Account | None = None


AttemptOutcome = (
    AttemptSucceeded | AttemptDeclined | AttemptNotSent | AttemptAwaitingCustomer | AttemptInDoubt
)


# Events: the end


class PaymentSucceeded(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    gateway: GatewayId
    gateway_reference: str


class PaymentFailed(Event, frozen=True, kw_only=True):
    failure: Failure


# Events: who owns it, and what verification found


class PaymentHandedOver(Event, frozen=True, kw_only=True):
    """The owner's last word; `unsettled` names the attempts whose outcome is not known."""

    unsettled: tuple[AttemptId, ...]


class PaymentTakenOver(Event, frozen=True, kw_only=True):
    claim_id: str
    by: Literal["payment_service", "payment_verifier"]


class VerificationPerformed(Event, frozen=True, kw_only=True):
    """A gateway was asked, or told us, what became of an attempt, or was asked to give its money back."""

    attempt_id: AttemptId
    check: int
    verdict: Verdict
    next_check_at: datetime | None = None
    source: Source = "look_up"
    is_final: bool = False
    """The look at the end of the gateway's horizon, after which nobody looks again."""
    retry: int = 0
    """How often a gateway that does not answer is asked beyond the schedule, with the look that comes next."""


class ReviewRequested(Event, frozen=True, kw_only=True):
    """Verification could not tell; a person decides."""

    unsettled: tuple[AttemptId, ...]


class ReviewSettled(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    verdict: Literal["succeeded", "declined", "not_sent"]
    settled_by: str
    note: str
    gateway_reference: str | None = None


class LateSuccessDetected(Event, frozen=True, kw_only=True):
    """A second success, or one after we said FAILURE: compensated unless the merchant keeps it."""

    attempt_id: AttemptId
    gateway: GatewayId
    gateway_reference: str
    kept: bool


class ChargeCompensated(Event, frozen=True, kw_only=True):
    attempt_id: AttemptId
    gateway: GatewayId
    gateway_reference: str
    by: Literal["void", "refund"]


PaymentEvent = (
    PaymentRequested
    | ExperimentAssigned
    | PaymentRouted
    | AttemptStarted
    | AttemptSucceeded
    | AttemptDeclined
    | AttemptNotSent
    | AttemptAwaitingCustomer
    | AttemptInDoubt
    | PaymentSucceeded
    | PaymentFailed
    | PaymentHandedOver
    | PaymentTakenOver
    | VerificationPerformed
    | ReviewRequested
    | ReviewSettled
    | LateSuccessDetected
    | ChargeCompensated
)
