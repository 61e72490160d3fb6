"""What a gateway call can come to. Everything about money follows from which of the five it is.

Only *not sent* and a retryable *declined* prove that nobody was charged and may cascade to another gateway;
*in doubt* proves nothing, and is verified, never retried blindly.
"""

from typing import Literal

from schemas.base import Value

Blame = Literal["customer", "risk", "caller", "issuer", "gateway"]
"""Whose doing a decline is."""

NotSentReason = Literal[
    "dns", "tls", "connect", "too_busy", "window_closed", "switched_off", "burned", "reviewed"
]
"""`too_busy`: our own limit of calls at once. `window_closed`: our ownership had run out. `switched_off`: operators
took it out of service after the attempt was written ahead. None of them is the gateway's fault. `burned`: the
reference was made unusable before it was used. `reviewed`: a person says so."""

DoubtReason = Literal[
    "read_timeout",
    "connection_lost",
    "server_error",
    "rate_limited",
    "unreadable_answer",
    "mismatched_answer",
    "interrupted",
    "processing",
]
"""`processing`: the gateway has the charge, says so, and has not finished with it."""


class Decline(Value, frozen=True, kw_only=True):
    code: str
    """Unified, merchant-visible: the same for every gateway."""
    blame: Blame
    retryable: bool
    """Whether another gateway may be tried at once."""
    gateway_code: str | None = None
    gateway_reason: str | None = None


class NextAction(Value, frozen=True, kw_only=True):
    """What the customer must do to complete the payment."""

    type: Literal["upi_intent", "upi_collect", "redirect"]
    url: str | None = None


class Succeeded(Value, frozen=True, kw_only=True):
    gateway_reference: str


class Declined(Value, frozen=True, kw_only=True):
    decline: Decline
    gateway_reference: str | None = None


class NotSent(Value, frozen=True, kw_only=True):
    reason: NotSentReason


class AwaitingCustomer(Value, frozen=True, kw_only=True):
    gateway_reference: str
    next_action: NextAction


class InDoubt(Value, frozen=True, kw_only=True):
    reason: DoubtReason
    gateway_reference: str | None = None
    http_status: int | None = None


Outcome = Succeeded | Declined | NotSent | AwaitingCustomer | InDoubt


def is_gateways_fault(outcome: Outcome) -> bool:
    """Whether it counts against its gateway's health: what customers, banks and we ourselves do wrong does not.

    Nor does doubt: it is no failure, and shows in how long the gateway takes.
    """
    match outcome:
        case Declined(decline=decline):
            return decline.blame == "gateway"
        case NotSent(reason=reason):
            return reason in ("dns", "tls", "connect")
        case _:
            return False


def counts_against_circuit(outcome: Outcome) -> bool | None:
    """Whether a circuit takes it for a failure: the gateway is to blame, or nobody knows what became of the charge.

    Customers and banks decline through a gateway that works. None of what tells nothing of it: our own doing.
    """
    match outcome:
        case InDoubt():
            return True
        case Declined(decline=Decline(blame="caller")):
            return None
        case NotSent(reason="too_busy" | "window_closed" | "switched_off" | "burned" | "reviewed"):
            return None
        case _:
            return is_gateways_fault(outcome)
