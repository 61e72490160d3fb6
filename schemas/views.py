"""The read models of a payment: what the projections store and the routes answer from."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from schemas.base import Value
from schemas.envelope import Position
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.outcome import Decline, NextAction
from schemas.payment import Failure, Order
from schemas.routing import AttemptReason, Candidate, Excluded, Strategy
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Check, VerificationWork

PaymentStatus = Literal["SUCCESS", "AWAITING_CUSTOMER", "PENDING_VERIFICATION", "NEEDS_REVIEW", "FAILURE"]
AttemptStatus = Literal["STARTED", "SUCCEEDED", "DECLINED", "NOT_SENT", "AWAITING_CUSTOMER", "IN_DOUBT"]


class AttemptView(Value, frozen=True, kw_only=True):
    attempt_id: AttemptId
    payment_id: PaymentId
    number: int
    gateway: GatewayId
    status: AttemptStatus
    started_at: datetime
    reason: AttemptReason | None = None
    """None, as `timeout_ms` is, where only the attempt's outcome arrived."""
    timeout_ms: int | None = None
    latency_ms: int | None = None
    gateway_reference: str | None = None
    decline: Decline | None = None
    detail: str | None = None
    """Why it was not sent, or is in doubt."""
    verified: bool = False
    compensated_by: Literal["void", "refund"] | None = None
    """How a charge that nobody wanted was given back."""
    late: Literal["give_back", "keep"] | None = None
    """A success that came too late, and what is to become of it."""
    checks: int = 0
    """How often verification has looked at it."""
    next_check_at: datetime | None = None
    """When verification looks at it next; None for never."""
    final_check_at: datetime | None = None
    """The end of the gateway's horizon, at which a failed attempt is looked at once more."""
    in_review: bool = False
    """Verification could not tell; a person decides."""


class RoutingDecisionView(Value, frozen=True, kw_only=True):
    payment_id: PaymentId
    sequence: int
    strategy: Strategy
    reason: str
    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...]
    policy: RetryPolicy
    decided_at: datetime


class PaymentView(Value, frozen=True, kw_only=True):
    """`order` is None where the request itself is missing from the log: any subset of a
    decision's events may be what arrived."""

    payment_id: PaymentId
    status: PaymentStatus
    sequence: int
    epoch: int
    created_at: datetime
    updated_at: datetime
    order: Order | None = None
    key_hash: str | None = None
    fingerprint: str | None = None
    gateway: GatewayId | None = None
    gateway_reference: str | None = None
    paid_by: AttemptId | None = None
    """The attempt that its success names."""
    attempts: int = 0
    failure: Failure | None = None
    next_action: NextAction | None = None
    strategy: Strategy | None = None
    routing_reason: str | None = None
    experiment_id: str | None = None
    variant: str | None = None
    latency_ms: int | None = None
    """From the request to its settlement; None while it is unsettled."""
    owned_until_ms: int = 0
    """The end of the newest window, or the stamp of the hand-over that ended it early."""
    handed_over: bool = False
    offsets: tuple[int, ...] = ()
    """Where its records lie in its partition, void ones too: the index of its history on the log."""


class PaymentHistory(Value, frozen=True, kw_only=True):
    """Everything the payments projection knows of one payment."""

    payment: PaymentView
    attempts: tuple[AttemptView, ...] = ()
    decisions: tuple[RoutingDecisionView, ...] = ()


class AttemptVerification(Value, frozen=True, kw_only=True):
    """What verification knows of one attempt, and when it looks again; None for never."""

    attempt_id: AttemptId
    gateway: GatewayId
    status: AttemptStatus
    checks: tuple[Check, ...]
    next_check_at: datetime | None
    in_review: bool
    late: Literal["give_back", "keep"] | None
    compensated_by: Literal["void", "refund"] | None


class VerificationView(Value, frozen=True, kw_only=True):
    """What verification has found out about a payment so far; `next_check_at` is when it does anything next."""

    payment_id: PaymentId
    status: PaymentStatus
    attempts: tuple[AttemptVerification, ...]
    next_check_at: datetime | None


class Watermark(Value, frozen=True, kw_only=True):
    """How far a projection has come in one partition: everything below `next_offset` is in its rows."""

    next_offset: int
    last_stamp_ms: int
    """The broker's stamp of the last record taken in; 0 before the first."""
    updated_at: datetime | None = None
    """When the store noted it, by the store's clock; None before it has."""
    generation: int = 1
    """Of the rows: another number when a rebuild has put others in their place."""


class DeadLetter(Value, frozen=True, kw_only=True):
    """A record that a projection could not take in, as it lies on the log, and why."""

    position: Position
    stamp_ms: int
    reason: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class PaymentChanges(Value, frozen=True, kw_only=True):
    """What is stored of a run of records, all of it or nothing; each row at most once."""

    payments: Sequence[PaymentView] = ()
    attempts: Sequence[AttemptView] = ()
    decisions: Sequence[RoutingDecisionView] = ()
    owners: Sequence[PaymentView] = ()
    """Payments whose ownership row the log knows better than the index."""
    work: Sequence[VerificationWork] = ()
    """What verification has to do next for those where that is another thing than before."""
    dead: Sequence[DeadLetter] = ()
    watermarks: Mapping[int, Watermark] = {}
