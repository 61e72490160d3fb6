"""Takes exposed payments into customers and arms, effectively once: figures and watermarks change in one transaction.

As in `project.py`: below the watermark a record is known and dropped, above it there is a gap, whose records are
fetched first. Sums cannot be stored twice and come out right, so everything that is read is read under the watermarks'
locks.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from projections.contributions import changes, of_customers
from projections.experiments import TOLD_BY, evolve
from projections.ports import DeadLetters, ExposureSink, ExposureTransaction, Log, RawRecord
from projections.project import Counts, dead_letter, grouped, readable
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import Unreadable
from schemas.exposure import ArmKey, CustomerKey, Exposure, Figures, Tally
from schemas.ids import PaymentId
from schemas.views import DeadLetter, Watermark

GAP_CHUNK = 2_000
"""Records of a gap that are fetched and stored at a time."""

_TELLING = frozenset(name.encode() for name in TOLD_BY)
Records = Mapping[int, Sequence[RawRecord]]
Gaps = dict[int, range]


class ExperimentIntake:
    def __init__(
        self,
        topic: str,
        sink: ExposureSink,
        log: Log,
        dead_letters: DeadLetters,
        partition_of: Callable[[str], int],
    ) -> None:
        self._topic = topic
        self._sink = sink
        self._log = log
        self._dead_letters = dead_letters
        self._partition_of = partition_of
        self.counts = Counts()

    async def absorb(self, records: Iterable[RawRecord]) -> None:
        """Take in all of them, whatever is missing before them included. Raises Unavailable."""
        batch = grouped(records)
        while gaps := await self._take(batch):
            for partition, gap in gaps.items():
                stop = min(gap.stop, gap.start + GAP_CHUNK)
                missing = await self._log.read(self._topic, partition, gap.start, stop)
                self.counts.fetched_from_gaps += len(missing)
                await self._take({partition: missing})

    async def _take(self, batch: Records) -> Gaps:
        """One transaction, or several when the store refuses a value: halving finds the record that it belongs to."""
        try:
            return await self._store(batch)
        except Unreadable as refusal:
            records = [record for partition in sorted(batch) for record in batch[partition]]
            if len(records) == 1:
                return await self._store(batch, refusal)
            half = len(records) // 2
            first = await self._take(grouped(records[:half]))
            return await self._take(grouped(records[half:])) | first

    async def _store(self, batch: Records, refusal: Unreadable | None = None) -> Gaps:
        async with self._sink.transaction(self._topic, sorted(batch)) as transaction:
            run, gaps = _fresh(batch, transaction.watermarks)
            step = Step(self._partition_of)
            for record in run:
                step.note(record, refusal)
            if step.dead:
                await self._dead_letters.publish(step.dead)
            if run:
                await step.store(transaction, run)
        self.counts.taken_in += len(run)
        self.counts.dead += len(step.dead)
        above = sum(record.offset >= gap.stop for p, gap in gaps.items() for record in batch[p])
        self.counts.known_already += sum(map(len, batch.values())) - len(run) - above
        return gaps


def _fresh(batch: Records, watermarks: Mapping[int, Watermark]) -> tuple[list[RawRecord], Gaps]:
    """The records that continue each partition's watermark without a hole, and the first hole of each."""
    run: list[RawRecord] = []
    gaps: Gaps = {}
    for partition, records in batch.items():
        expected = watermarks[partition].next_offset
        for record in records:
            if record.offset > expected:
                gaps[partition] = range(expected, record.offset)
                break
            if record.offset == expected:
                run.append(record)
                expected += 1
    return run, gaps


class Step:
    """What one run of records makes of the payments, customers and arms it is about."""

    def __init__(self, partition_of: Callable[[str], int]) -> None:
        self._partition_of = partition_of
        self._events: list[tuple[int, Recorded[Event]]] = []
        self.dead: list[DeadLetter] = []

    def note(self, record: RawRecord, refusal: Unreadable | None) -> None:
        try:
            if refusal is not None:
                raise refusal
            if not _tells(record):
                return
            recorded = readable(record)
            if self._partition_of(recorded.envelope.aggregate_id) != record.partition:
                raise Unreadable("its key belongs in another partition")
            self._events.append((record.partition, recorded))
        except Exception as error:  # whatever a record does to us, it must not stop those behind it
            self.dead.append(dead_letter(record, error))

    async def store(self, transaction: ExposureTransaction, run: Sequence[RawRecord]) -> None:
        partitions = {PaymentId(one.envelope.aggregate_id): partition for partition, one in self._events}
        before = await transaction.load(partitions) if partitions else {}
        after = self._folded(before)
        more: dict[CustomerKey, Figures] = defaultdict(Figures)
        arms: dict[tuple[ArmKey, int], Tally] = defaultdict(Tally)
        partition_of: dict[CustomerKey, int] = {}
        for payment_id, exposure in after.items():
            for customer, figures, tally in changes(before.get(payment_id), exposure):
                more[customer] += figures
                partition = partition_of.setdefault(customer, partitions[payment_id])
                _add(arms[customer.arm, partition], tally)
        if more := {customer: figures for customer, figures in more.items() if any(figures)}:
            for customer, now in (await transaction.add_to_customers(more)).items():
                changed = of_customers(now + -more[customer], now)
                _add(arms[customer.arm, partition_of[customer]], changed)
        marks = {
            record.partition: Watermark(next_offset=record.offset + 1, last_stamp_ms=record.timestamp)
            for record in run
        }
        changed_arms = {part: tally for part, tally in arms.items() if any(tally.values())}
        await transaction.store(exposures=after, arms=changed_arms, watermarks=marks)

    def _folded(self, before: Mapping[PaymentId, Exposure]) -> dict[PaymentId, Exposure]:
        """Those that are another thing than before."""
        after: dict[PaymentId, Exposure] = {}
        for _, recorded in self._events:
            payment_id = PaymentId(recorded.envelope.aggregate_id)
            known = after.get(payment_id) or before.get(payment_id)
            if (exposure := evolve(known, recorded)) is not None and exposure is not known:
                after[payment_id] = exposure
        return after


def _tells(record: RawRecord) -> bool:
    """A record that says nothing of its kind is read, so that somebody hears of it."""
    kinds = [content for name, content in record.headers if name == "ce_type"]
    return not kinds or kinds[0] in _TELLING or kinds[0] == b""


def _add(tally: Tally, more: Tally) -> None:
    for name, count in more.items():
        tally[name] += count
