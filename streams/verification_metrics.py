"""The numbers of verification: what is before it, counted now and then by the store, and what this worker has done."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from schemas.errors import StoreUnavailable
from schemas.ids import minted_at
from schemas.verification import Backlog

COUNT_EVERY_S = 15.0
PREFIX = "payments_gateway_"
CLAIMS = ("ended", "lost_to_another", "ambiguous", "part_away", "projection_behind", "failed")
MESSAGES = ("old", "unknown", "foreign")


class VerificationMetrics(Collector):
    """The backlog's numbers are left out while the store is away."""

    def __init__(
        self,
        count: Callable[[], Awaitable[Backlog]],
        claims: Mapping[str, int],
        messages: Mapping[str, int],
        now_ms: Callable[[], float],
    ) -> None:
        self._count = count
        self._claims = claims
        self._messages = messages
        self._now_ms = now_ms
        self.backlog: Backlog | None = None

    async def watch(self) -> None:
        while True:
            try:
                self.backlog = await self._count()
            except StoreUnavailable:
                self.backlog = None
            await asyncio.sleep(COUNT_EVERY_S)

    def collect(self) -> Iterable[Metric]:
        yield _counter(
            "verification_claims", "Payments taken over, by what became of it.", CLAIMS, self._claims
        )
        yield _counter(
            "verification_messages", "Messages used up without a take-over.", MESSAGES, self._messages
        )
        if self.backlog is not None:
            yield from self._of(self.backlog)

    def _of(self, backlog: Backlog) -> Iterable[Metric]:
        due = GaugeMetricFamily(f"{PREFIX}verification_due", "Payments due now.", labels=["gateway"])
        oldest = GaugeMetricFamily(
            f"{PREFIX}verification_due_oldest_seconds",
            "Since when the first of them is due.",
            labels=["gateway"],
        )
        for gateway, of_it in backlog.due.items():
            due.add_metric([gateway], of_it.payments)
            oldest.add_metric([gateway], of_it.oldest_ms / 1000)
        yield from (due, oldest)
        yield _gauge(
            "verification_messages_unused",
            "Messages that wait to be used.",
            backlog.unused_messages,
        )
        yield _gauge(
            "verification_messages_unused_oldest_seconds",
            "Since when the first of them waits; 0 for none.",
            backlog.oldest_message_ms / 1000,
        )
        yield _gauge("unsettled", "Payments without an end, in review or not.", backlog.unsettled)
        yield _gauge("in_review", "Payments that a person has to decide about.", backlog.in_review)
        yield _gauge(
            "unsettled_oldest_seconds",
            "Age of the first payment without an end; 0 for none.",
            self._age_s(backlog),
        )
        yield _gauge(
            "duplicate_charges",
            "Charges that should not be and were not given back yet.",
            backlog.to_give_back,
        )
        yield _gauge(
            "duplicate_charges_oldest_seconds",
            "Since the first of them was started; 0 for none.",
            backlog.oldest_to_give_back_ms / 1000,
        )

    def _age_s(self, backlog: Backlog) -> float:
        if backlog.oldest_unsettled is None:
            return 0.0
        return self._now_ms() / 1000 - minted_at(backlog.oldest_unsettled).timestamp()


def _counter(name: str, what: str, results: Iterable[str], counts: Mapping[str, int]) -> CounterMetricFamily:
    """Also of what was not counted yet: who comes later must be seen to grow."""
    family = CounterMetricFamily(PREFIX + name, what, labels=["result"])
    for result in results:
        family.add_metric([result], counts.get(result, 0))
    return family


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, what, value=value)
