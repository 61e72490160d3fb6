"""How what is in doubt becomes certain: when a gateway is asked again, and what verification knows of a payment."""

from datetime import datetime, timedelta
from typing import Literal

from schemas.base import Value
from schemas.envelope import Position
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.instrument import PaymentMethod
from schemas.notification import NotificationMessage
from schemas.reservation import Claimed

Verdict = Literal[
    "succeeded", "declined", "still_pending", "not_found_yet", "not_sent", "unreachable", "mismatched"
]
"""`not_found_yet`: within the gateway's own lag. `not_sent`: not found after it, and the reference is burnt.
`mismatched`: the gateway knows another amount or currency under our reference."""

Source = Literal["look_up", "notification", "review"]


class Schedule(Value, frozen=True, kw_only=True):
    """When an attempt without an outcome is asked for: seconds since its start, ascending. After the last check that
    tells nothing, a person decides."""

    after_s: tuple[float, ...]

    @property
    def first_s(self) -> float:
        return self.after_s[0]


Schedules = dict[PaymentMethod, Schedule]

SCHEDULES: Schedules = {
    # NPCI: the first check not before 90 s, and at most three within two hours of the payment.
    "UPI": Schedule(after_s=(90, 600, 3_600, 10_800, 43_200, 86_400, 172_800, 259_200)),
    "CARD": Schedule(after_s=(5, 15, 60, 300, 1_800, 7_200, 43_200, 86_400)),
    "NETBANKING": Schedule(after_s=(10, 60, 300, 1_800, 7_200, 43_200, 86_400, 259_200)),
    "WALLET": Schedule(after_s=(5, 15, 60, 300, 1_800, 7_200, 43_200, 86_400)),
}
"""Seconds since the attempt's start; settings may replace each."""


class Check(Value, frozen=True, kw_only=True):
    """One look at one attempt: at the gateway, at what the gateway told us, or by a person."""

    attempt_id: AttemptId
    check: int
    verdict: Verdict
    source: Source
    at: datetime
    next_check_at: datetime | None
    is_final: bool


CLOSE_AFTER = timedelta(minutes=15)
"""A request that never got an attempt may be started afresh by its key for so long."""

NO_GATEWAY = GatewayId("")
"""Of work that asks no gateway."""


class VerificationWork(Value, frozen=True, kw_only=True):
    """The next thing that a verifier has to do for a payment, and when; `due_at` None for nothing.

    `merchant_id` and `key_hash` name its ownership row; a payment whose request is not on the log has one of its own,
    under no merchant and its own id.
    """

    payment_id: PaymentId
    merchant_id: str
    key_hash: str
    gateway: GatewayId
    due_at: datetime | None
    urgent: bool
    """Somebody waits for it, or for their money. Not so the last looks at what has failed, of which a storm of declines
    brings thousands at once."""


class Received(Value, frozen=True, kw_only=True):
    """A message of a gateway or a person, where it lies on its topic."""

    position: Position
    message: NotificationMessage


class StoredMessage(Value, frozen=True, kw_only=True):
    """A message on its way into the store, with the payment that it is about and the broker's stamp."""

    payment_id: PaymentId
    received: Received
    stamp_ms: int


class Due(Value, frozen=True, kw_only=True):
    payments: int
    oldest_ms: int
    """So long ago the first of them became due."""


class Backlog(Value, frozen=True, kw_only=True):
    """What verification has before it, at one moment."""

    due: dict[GatewayId, Due]
    """By gateway; what somebody owns counts when it can be claimed again."""
    unused_messages: int
    oldest_message_ms: int
    """So long ago the broker got the first of them; 0 for none."""
    unsettled: int
    """Payments that nobody knows the end of, with those in review."""
    oldest_unsettled: PaymentId | None
    """Its id tells when it was minted."""
    in_review: int
    to_give_back: int
    """Charges that should not be, and are not compensated yet: those that a merchant keeps are none of them."""
    oldest_to_give_back_ms: int
    """So long ago the first of them was started; 0 for none."""


class Takeover(Value, frozen=True, kw_only=True):
    """A payment that is due, claimed by one verifier, with what it has been told of it and has not used yet."""

    payment_id: PaymentId
    gateway: GatewayId
    """Whose slot it takes."""
    claim: Claimed
    messages: tuple[Received, ...] = ()
