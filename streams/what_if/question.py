"""Reads the payments of a range of time from the log, and judges a policy on them."""

from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial

from projections.absorption import decoded, readable
from projections.ports import RawRecord
from schemas.base import Value
from schemas.errors import Unreadable
from schemas.ids import GatewayId
from schemas.routing_configuration import AlternativePolicy
from schemas.shadow import PaymentShadowed
from streams.replay.plan import Asked, Plan
from streams.replay.processes import Monitor, Tell, telling
from streams.replay.source import Source
from streams.replay.turns import Fold, in_turns
from streams.what_if.evaluation import Dimension, Evaluation, Judged, Part
from streams.what_if.journeys import Journeys

EARLY = timedelta(seconds=90)
"""So long before the range the log is read: stamps are the broker's, and requests are told by other clocks."""
NOTHING_SAID: Mapping[str, PaymentShadowed] = {}


class LeftOut(Value, frozen=True, kw_only=True):
    """What nothing is said of."""

    not_tried: int = 0
    """Payments without an attempt, a route or a request on the log."""
    unexplained: int = 0
    """Payments from before decisions recorded what they were made from."""
    unreadable: int = 0
    """Records."""


class WhatIf(Value, frozen=True, kw_only=True):
    policy: AlternativePolicy | None
    """None: what was judged is what the shadow said."""
    agreement: float | None
    """The share of these payments that the shadow would have sent where they went."""
    begin: datetime | None
    end: datetime | None
    payments: int
    left_out: LeftOut
    strangers: tuple[GatewayId, ...]
    """Gateways that the policy names and that no decision knew: misspelt, perhaps."""
    overall: tuple[Judged, ...]
    """Of every metric; empty where there are no payments."""
    parts: tuple[Part, ...]


class Past(Value, frozen=True, kw_only=True):
    """What of a topic a question is answered from, found before any of it is read."""

    source: Source
    plan: Plan


class Question:
    """Answered from some payments after others: of each what counts is kept."""

    def __init__(
        self, policy: AlternativePolicy | None, begin: datetime | None = None, end: datetime | None = None
    ) -> None:
        """Without a policy: of what a shadow said."""
        self._policy, self.begin, self.end = policy, begin, end
        self._evaluation = Evaluation(policy)
        self._not_tried = self._unexplained = self._shadowed = self._agreed = self.unreadable = 0

    def take(self, journeys: Journeys, said: Mapping[str, PaymentShadowed] = NOTHING_SAID) -> None:
        """`said`: by payment, what the shadow would have done."""
        for journey in journeys.told():
            if journey is None:
                self._not_tried += 1
            elif journey.routed.decision is None:
                self._unexplained += 1
            else:
                shadow = said.get(journey.payment.payment_id)
                if shadow is not None:
                    self._shadowed, self._agreed = self._shadowed + 1, self._agreed + shadow.agrees
                self._evaluation.consider(journey, shadow)

    def answer(self, by: tuple[Dimension, ...]) -> WhatIf:
        any_of_them = len(self._evaluation) > 0
        overall, parts = self._evaluation.judged(by) if any_of_them else ((), ())
        return WhatIf(
            policy=self._policy,
            agreement=self._agreed / self._shadowed if self._shadowed else None,
            begin=self.begin,
            end=self.end,
            payments=len(self._evaluation),
            left_out=LeftOut(
                not_tried=self._not_tried, unexplained=self._unexplained, unreadable=self.unreadable
            ),
            strangers=self._evaluation.strangers() if any_of_them else (),
            overall=overall,
            parts=parts,
        )


async def past(source: Source, begin: datetime | None) -> Past:
    """Raises LogBroken where a part of it is not, or no longer, there; LogUnavailable."""
    since = 0 if begin is None else begin - EARLY
    return Past(source=source, plan=await source.plan(Asked(topic=source.topic, since=since)))


async def ask(
    question: Question,
    payments: Past,
    shadows: Past | None,
    by: tuple[Dimension, ...],
    tell: Tell = lambda _: None,
) -> WhatIf:
    """Of payments of the range, with all that is known of them by now; `shadows` are what a shadow said, if that is
    judged. Raises LogBroken, LogUnavailable."""
    monitor = Monitor(telling(tell))
    for part in payments.plan.parts:
        said = NOTHING_SAID if shadows is None else await _said(shadows, part.partition, question)
        new = partial(_Told, question)
        async with aclosing(in_turns(payments.source, part, new, monitor)) as turns:
            async for told in turns:
                question.take(told.journeys, said)
                question.unreadable += told.dead
    return question.answer(by)


class _Told(Fold):
    """Journeys of the payments of a range, from records as they lie on the log."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.journeys = Journeys(question.begin, question.end)

    def _take_in(self, record: RawRecord) -> None:
        self.journeys.take([readable(record)])


async def _said(shadows: Past, partition: int, question: Question) -> dict[str, PaymentShadowed]:
    """By the shadow, of the payments of a partition: they have the same number on both topics."""
    said: dict[str, PaymentShadowed] = {}
    for part in shadows.plan.parts:
        if part.partition == partition:
            async with aclosing(shadows.source.batches(part)) as batches:
                async for records in batches:
                    for record in records:
                        try:
                            recorded = decoded(record)
                        except Unreadable:
                            question.unreadable += 1
                            continue
                        if isinstance(recorded.event, PaymentShadowed):
                            said[recorded.envelope.aggregate_id] = recorded.event
    return said
