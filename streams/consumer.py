"""Faust's consumer, brought records by the bundle: its price is per message, and that was two thirds of a worker's CPU.

All records of a topic that one fetch found are one message to Faust. It is acknowledged as a whole, partition by
partition, when what is in it is stored. Brokers are asked to gather for a moment while records flow, so that fifty
fetches a second bring them all, and to answer at once when a record comes after silence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import faust
from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from projections.ports import RawRecord

_GATHER_BYTES = 1 << 20
_SILENCE_MS = 500


class Bundle(ConsumerMessage):
    """`records` are of one topic, those of a partition in their order.

    Faust acknowledges, with one of its two iterators, also what it skips at a rebalance. So that means nothing here:
    the agent tells the consumer what was taken in.
    """

    __slots__ = ("records",)

    records: Sequence[RawRecord]

    def on_final_ack(self, consumer: Any) -> bool:
        self.acked = True
        return True


class BundleThread(AIOKafkaConsumerThread):
    def wait_for(self, least_bytes: int, most_ms: int) -> None:
        """What a broker waits for, from the next fetch on: aiokafka's own settings, which Faust does not pass on."""
        fetcher = self._ensure_consumer()._fetcher
        # A fetch may be made in between: it must not wait long for much.
        fetcher._fetch_max_wait_ms = min(most_ms, fetcher._fetch_max_wait_ms)
        fetcher._fetch_min_bytes = least_bytes
        fetcher._fetch_max_wait_ms = most_ms


class BundleConsumer(Consumer):
    """Its agents take one bundle after the other, so that the last one acknowledged says how far a partition came."""

    _thread: BundleThread
    transport: "BundleTransport"

    def _new_consumer_thread(self) -> BundleThread:
        return BundleThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:  # noqa: ASYNC109  # its name there
        found = await super()._getmany(active_partitions, timeout)
        if found:
            self._thread.wait_for(_GATHER_BYTES, self.transport.gather_ms)
        else:
            self._thread.wait_for(1, _SILENCE_MS)
        bundles: dict[str, list[RawRecord]] = {}
        for tp, records in found.items():
            bundles.setdefault(tp.topic, []).extend(records)
        carriers = {TP(topic, records[0].partition): [records] for topic, records in bundles.items()}
        for (
            carrier
        ) in carriers:  # or a log that was cut would have Faust drop the others' records with its own
            self._read_offset[carrier] = None
        return carriers

    def _to_message(self, tp: TP, record: Sequence[Any]) -> Bundle:
        first = record[0]
        bundle = Bundle(
            first.topic,
            first.partition,
            first.offset,
            first.timestamp / 1000,
            first.timestamp_type,
            None,
            None,
            b"",
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        bundle.records = record
        return bundle

    def taken_in(self, records: Sequence[RawRecord]) -> None:
        """To be committed with the next round."""
        for one in records:
            self._acked[TP(one.topic, one.partition)] = [one.offset]

    def _new_offset(self, tp: TP) -> int | None:
        return self._acked[tp].pop() + 1 if self._acked[tp] else None

    async def perform_seek(self) -> None:
        """To where the group stands, after a rebalance dropped what was fetched meanwhile.

        Faust leaves a partition that nothing was committed of where the dropped records end: they never came, until
        somebody missed them.
        """
        await super().perform_seek()
        if self.app.conf.consumer_auto_offset_reset == "earliest":
            assigned = self.assignment()
            if uncommitted := [
                TopicPartition(*tp) for tp in assigned if self._committed_offset.get(tp) is None
            ]:
                await self._thread.seek_to_beginning(*uncommitted)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a put that waits bounds what is held, and a pause would cost a second, or starve the carrier."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: a partition that carries no bundle looks idle to Faust. The watchdog looks at watermarks."""


class BundleTransport(Transport):
    """`gather_ms` is how long a broker gathers records before it answers."""

    Consumer = BundleConsumer

    def __init__(self, app: faust.App, gather_ms: int) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.gather_ms = gather_ms
