"""Reads the payments of a range of time from the log, and judges a policy on them."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime

from infra.kafka.reader import LogReader, Record
from infra.settings import Settings
from projections.absorption import decoded
from schemas.base import Event, Value
from schemas.codec import PAYMENTS_TOPIC, SHADOW_TOPIC
from schemas.envelope import Recorded
from schemas.errors import Unreadable
from schemas.ids import GatewayId
from schemas.routing_configuration import AlternativePolicy
from schemas.shadow import PaymentShadowed
from streams.what_if.evaluation import Dimension, Evaluation, Judged, Part
from streams.what_if.journeys import Journeys

STRETCH = 5_000
"""Records that are read at a time."""
READ_TIMEOUT_S = 30.0
EARLY_MS = 90_000
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


class Question:
    """Answered from partitions one after the other: of each all is in memory at once, of the others what counts."""

    def __init__(
        self, policy: AlternativePolicy | None, begin: datetime | None = None, end: datetime | None = None
    ) -> None:
        """Without a policy: of what a shadow said."""
        self._policy, self._begin, self._end = policy, begin, end
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
        return WhatIf(
            policy=self._policy,
            agreement=self._agreed / self._shadowed if self._shadowed else None,
            begin=self._begin,
            end=self._end,
            payments=len(self._evaluation),
            left_out=LeftOut(
                not_tried=self._not_tried, unexplained=self._unexplained, unreadable=self.unreadable
            ),
            strangers=self._evaluation.strangers() if any_of_them else (),
            overall=self._evaluation.overall() if any_of_them else (),
            parts=tuple(self._evaluation.parts(by)) if any_of_them else (),
        )


async def ask(
    settings: Settings,
    policy: AlternativePolicy | None,
    begin: datetime | None,
    end: datetime | None,
    by: tuple[Dimension, ...],
    tell: Callable[[str], None],
) -> WhatIf:
    """Of payments of the range, with all that is known of them by now. Raises LogUnavailable."""
    question = Question(policy, begin, end)
    reader = LogReader(settings.kafka_bootstrap_servers)
    try:
        for partition, stop in sorted((await reader.end_offsets(PAYMENTS_TOPIC, READ_TIMEOUT_S)).items()):
            journeys = Journeys(begin, end)
            async for records in _stretches(reader, PAYMENTS_TOPIC, partition, begin, stop):
                journeys.take(_readable(records, question))
            said = await _said(reader, partition, begin, question) if policy is None else NOTHING_SAID
            question.take(journeys, said)
            tell(f"{PAYMENTS_TOPIC}-{partition} is read")
    finally:
        await reader.stop()
    return question.answer(by)


async def _said(
    reader: LogReader, partition: int, begin: datetime | None, question: Question
) -> dict[str, PaymentShadowed]:
    """By the shadow, of the payments of a partition: they have the same number on both topics."""
    said: dict[str, PaymentShadowed] = {}
    stop = await reader.end_offset(SHADOW_TOPIC, partition, READ_TIMEOUT_S)
    async for records in _stretches(reader, SHADOW_TOPIC, partition, begin, stop):
        for recorded in _readable(records, question):
            if isinstance(recorded.event, PaymentShadowed):
                said[recorded.envelope.aggregate_id] = recorded.event
    return said


async def _stretches(
    reader: LogReader, topic: str, partition: int, begin: datetime | None, stop: int
) -> AsyncIterator[list[Record]]:
    start = await reader.beginning_offset(topic, partition, READ_TIMEOUT_S)
    if begin is not None:
        early_ms = round(begin.timestamp() * 1000) - EARLY_MS
        start = await reader.offset_at(topic, partition, early_ms, READ_TIMEOUT_S)
    for first in range(start, stop, STRETCH):
        last = min(first + STRETCH, stop)
        yield await reader.read(topic, partition, first, last, timeout_s=READ_TIMEOUT_S)


def _readable(records: Sequence[Record], question: Question) -> Iterator[Recorded[Event]]:
    for record in records:
        try:
            yield decoded(record)
        except Unreadable:
            question.unreadable += 1
