"""Why a payment went where it went: each decision with everything that it was made of, and what became of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from schemas.base import Event, Value
from schemas.envelope import Recorded
from schemas.ids import GatewayId
from schemas.payment import ExperimentAssigned, PaymentRouted
from schemas.routing import Candidate, Excluded, Strategy
from schemas.views import AttemptView, PaymentStatus
from streams.decisions import follows
from streams.replay.trail import state_at

Recomputed = Literal["follows", "differs", "recorded too little"]


class Choice(Value, frozen=True, kw_only=True):
    at: datetime
    strategy: Strategy
    reason: str
    candidates: tuple[Candidate, ...]
    """In the order in which they were to be tried, with what was believed of each at that moment."""
    excluded: tuple[Excluded, ...]
    segment: str | None
    draw: float | None
    """The one piece of chance."""
    rule: str | None
    """The rule that came before the scores."""
    recomputed: Recomputed
    """Whether the same order comes of what was recorded, by today's code."""


class Explanation(Value, frozen=True, kw_only=True):
    payment_id: str
    status: PaymentStatus
    gateway: GatewayId | None
    experiment: str | None
    choices: tuple[Choice, ...]
    attempts: tuple[AttemptView, ...]


def explain(records: Iterable[Recorded[Event]]) -> Explanation | None:
    """None where there is no such payment."""
    counting = [record for record in records if not record.is_void]
    history = state_at(counting, None)
    if history is None:
        return None
    assigned = [record.event for record in counting if isinstance(record.event, ExperimentAssigned)]
    return Explanation(
        payment_id=history.payment.payment_id,
        status=history.payment.status,
        gateway=history.payment.gateway,
        experiment=f"{assigned[-1].experiment_id}: {assigned[-1].variant}" if assigned else None,
        choices=tuple(
            _choice(record.event, record.envelope.at)
            for record in counting
            if isinstance(record.event, PaymentRouted)
        ),
        attempts=history.attempts,
    )


def _choice(routed: PaymentRouted, at: datetime) -> Choice:
    decision = routed.decision
    return Choice(
        at=at,
        strategy=routed.strategy,
        reason=routed.reason,
        candidates=routed.candidates,
        excluded=routed.excluded,
        segment=decision.segment if decision else None,
        draw=decision.draw if decision else None,
        rule=decision.rule.id if decision and decision.rule else None,
        recomputed="recorded too little" if decision is None else "follows" if follows(routed) else "differs",
    )
