"""What a run leaves behind, whoever ran it, by three witnesses: the log, the ledgers, and what clients were told.

All times are milliseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from schemas.base import Value
from schemas.envelope import Recorded
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.payment import PaymentEvent
from schemas.reliability import ReliabilityEvent
from schemas.verification import CLOSE_AFTER
from schemas.views import PaymentHistory

Record = Recorded[PaymentEvent]


class Charge(Value, frozen=True, kw_only=True):
    """A charge as its gateway knows it at the end. `who` is charged: known without trusting any id of ours."""

    who: str
    attempt_id: AttemptId
    gateway: GatewayId
    at_ms: float
    status: str
    """The gateway's own word for it, told in stories only."""
    succeeded_at_once: bool
    """Without having failed before."""
    was_declined: bool
    holds_money: bool
    is_captured: bool
    is_given_back: bool


class Contact(Value, frozen=True, kw_only=True):
    """A gateway was asked for a charge."""

    who: str
    attempt_id: AttemptId
    gateway: GatewayId
    at_ms: float


class Told(Value, frozen=True, kw_only=True):
    """What a client was told of the payment under its key. `paid_by` of a success, `has_failed` of a failure."""

    who: str
    payment_id: PaymentId
    at_ms: float
    says: str
    paid_by: AttemptId | None = None
    has_failed: bool = False


class Note(Value, frozen=True, kw_only=True):
    """Something that a story is better told with, such as a refusal."""

    who: str
    at_ms: float
    says: str


class Evidence(Value, frozen=True, kw_only=True):
    """`run` names the run, so that it can be repeated; `histories` are the read model's."""

    run: str
    records: Mapping[str, Sequence[Record]]
    histories: Mapping[PaymentId, PaymentHistory]
    charges: Sequence[Charge]
    contacts: Sequence[Contact]
    told: Sequence[Told]
    alarms: Sequence[ReliabilityEvent]
    notes: Sequence[Note] = ()
    close_after: timedelta = CLOSE_AFTER
    clocks_differ_by_ms: int = 0
    refusals_leave_no_trace: bool = False
    """A gateway may decline what it was asked for without any charge in its ledger."""
