"""Outcomes as they lie on the log, for tests of the figures that are made of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import get_args

from hypothesis import strategies as st

from commands.outcome_events import outcome_event
from commands.payment_state import Attempt
from infra.memory.projections import RawRecord
from projections.shard import Shard
from schemas.base import Event
from schemas.dimensions import Dimensions
from schemas.envelope import Window
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.metrics import BUCKET_S, Cell, StoredShard
from schemas.outcome import (
    AwaitingCustomer,
    Blame,
    Decline,
    Declined,
    DoubtReason,
    InDoubt,
    NextAction,
    NotSent,
    NotSentReason,
    Outcome,
    Succeeded,
)
from schemas.payment import AttemptStarted
from schemas.views import Watermark
from tests.projections.story import BEGIN, BEGIN_MS, FIRST, raw, recorded

LONG = Window(valid_from_ms=0, valid_until_ms=2**50)
NOW = BEGIN_MS // 1000 // BUCKET_S
"""The bucket of the beginning."""
SUCCESS: Outcome = Succeeded(gateway_reference="ref")
DOUBT: Outcome = InDoubt(reason="read_timeout")
UNREACHED: Outcome = NotSent(reason="connect")
BUSY: Outcome = NotSent(reason="too_busy")
AWAITING: Outcome = AwaitingCustomer(gateway_reference="ref", next_action=NextAction(type="redirect"))
UPI = Cell("alpha", "UPI", "method", "")

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.sampled_from([SUCCESS, AWAITING]),
    st.sampled_from(get_args(NotSentReason)).map(lambda reason: NotSent(reason=reason)),
    st.sampled_from(get_args(DoubtReason)).map(lambda reason: InDoubt(reason=reason)),
    st.builds(
        lambda blame, code: decline(blame, code), st.sampled_from(get_args(Blame)), st.text(max_size=3)
    ),
)


def decline(blame: Blame = "issuer", code: str = "issuer_unavailable") -> Outcome:
    return Declined(decline=Decline(code=code, blame=blame, retryable=False))


def told(
    outcome: Outcome,
    *,
    gateway: str = "alpha",
    method: PaymentMethod = "UPI",
    issuer: str | None = None,
    segment: str | None = None,
    at: datetime = BEGIN,
    latency_ms: int = 120,
    instead_of: Outcome | None = None,
    verified: bool = False,
) -> Event:
    """The event of an attempt that started `at`; a correction where something else was known before."""
    started = AttemptStarted(
        attempt_id=FIRST,
        number=1,
        gateway=GatewayId(gateway),
        amount_minor=129_900,
        currency="INR",
        payment_method=method,
        timeout_ms=2_500,
        reason="first",
        started_at=at,
        dimensions=Dimensions(payment_method=method, amount_band="1e3", issuer=issuer, segment=segment),
    )
    return outcome_event(Attempt(started=started, outcome=instead_of), outcome, latency_ms, verified=verified)


def records(events: Iterable[Event], first: int = 0, stamp_ms: int = BEGIN_MS) -> list[RawRecord]:
    """One partition's, from an offset on."""
    return [
        raw(recorded(event, offset, window=LONG, stamp_ms=stamp_ms))
        for offset, event in enumerate(events, first)
    ]


def an_empty_shard(partition: int = 0) -> Shard:
    return Shard(partition, StoredShard(Watermark(next_offset=0, last_stamp_ms=0), {}))
