"""The step that makes *at least once* into *effectively once*: rows and watermarks are stored in one transaction.

Below the watermark a record is known and dropped; above it there is a gap, whose records are fetched first. What
cannot be taken in becomes a dead letter and counts as processed. A part that is away raises Unavailable: what was not
stored by then is taken in when the same batch is given again.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from projections.payments import evolve
from projections.ports import DeadLetters, Log, RawRecord, Sink, Transaction
from projections.verifications import work
from schemas.base import Event
from schemas.codec import decode
from schemas.envelope import Position, Recorded
from schemas.errors import Unreadable
from schemas.ids import PaymentId, is_payment_id
from schemas.verification import VerificationWork
from schemas.views import DeadLetter, PaymentHistory, Watermark

GAP_CHUNK = 2000
"""Records of a gap that are fetched and stored at a time."""
REMEMBERED_PER_PARTITION = 512
"""Payments whose history is at hand without asking the store: at 1,000 a second, six seconds of them."""

T = TypeVar("T")
Records = Mapping[int, Sequence[RawRecord]]
Gaps = dict[int, range]


class Counts(Struct):
    """Since the process began."""

    taken_in: int = 0
    known_already: int = 0
    fetched_from_gaps: int = 0
    dead: int = 0


class Memory(Struct):
    """The newest histories of one partition, true as long as its watermark is the one we left."""

    next_offset: int
    histories: OrderedDict[PaymentId, PaymentHistory]


class Projection:
    def __init__(
        self,
        topic: str,
        sink: Sink,
        log: Log,
        dead_letters: DeadLetters,
        partition_of: Callable[[str], int],
        remembered: int = REMEMBERED_PER_PARTITION,
    ) -> None:
        self._topic = topic
        self._sink = sink
        self._log = log
        self._dead_letters = dead_letters
        self._partition_of = partition_of
        self._remembered = remembered
        self._memories: dict[int, Memory] = {}
        self.counts = Counts()

    @property
    def next_offsets(self) -> dict[int, int]:
        """Of the partitions this process has taken records from, as it left them."""
        return {partition: memory.next_offset for partition, memory in self._memories.items()}

    async def absorb(self, records: Iterable[RawRecord]) -> None:
        """Take in all of them, whatever is missing before them included."""
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
                return await self._store(batch, refusal=str(refusal))
            half = len(records) // 2
            first = await self._take(grouped(records[:half]))
            return await self._take(grouped(records[half:])) | first

    async def _store(self, batch: Records, refusal: str | None = None) -> Gaps:
        try:
            async with self._sink.transaction(self._topic, sorted(batch)) as transaction:
                run, gaps = self._fresh(batch, transaction.watermarks)
                step = await self._fold(run, transaction, refusal)
                if run:
                    if step.dead:
                        await self._dead_letters.publish(step.dead)
                    await step.store(transaction, dict(transaction.watermarks))
        except BaseException:
            for partition in batch:
                self._memories.pop(partition, None)
            raise
        self._remember(step)
        self.counts.taken_in += len(run)
        self.counts.known_already += sum(map(len, batch.values())) - len(run) - _left_above(batch, gaps)
        self.counts.dead += len(step.dead)
        return gaps

    def _fresh(self, batch: Records, watermarks: Mapping[int, Watermark]) -> tuple[list[RawRecord], Gaps]:
        """The records that continue each partition's watermark without a hole, and the first hole of each."""
        run: list[RawRecord] = []
        gaps: Gaps = {}
        for partition, records in batch.items():
            expected = watermarks[partition].next_offset
            memory = self._memories.get(partition)
            if memory is None or memory.next_offset != expected:
                self._memories[partition] = Memory(next_offset=expected, histories=OrderedDict())
            for record in records:
                if record.offset > expected:
                    gaps[partition] = range(expected, record.offset)
                    break
                if record.offset == expected:
                    run.append(record)
                    expected += 1
        return run, gaps

    async def _fold(self, run: Sequence[RawRecord], transaction: Transaction, refusal: str | None) -> "Step":
        step = Step(run)
        for record in run:
            try:
                step.note(_read(record, refusal))
            except Exception as error:  # whatever a record does to us, it must not stop those behind it
                step.bury(record, error)
        unknown = []
        for payment_id, partition in step.partitions.items():
            history = self._memories[partition].histories.get(payment_id)
            if history is not None:
                step.before[payment_id] = history
            elif self._partition_of(payment_id) == partition:
                unknown.append(payment_id)
            else:
                step.strays.add(payment_id)
        if unknown:
            step.before.update(await transaction.load(unknown))
        step.fold()
        return step

    def _remember(self, step: "Step") -> None:
        for record in step.run:
            self._memories[record.partition].next_offset = record.offset + 1
        for payment_id, history in step.after.items():
            histories = self._memories[step.partitions[payment_id]].histories
            histories[payment_id] = history
            histories.move_to_end(payment_id)
            if len(histories) > self._remembered:
                histories.popitem(last=False)


class Step:
    """What one run of records makes of the payments it is about."""

    def __init__(self, run: Sequence[RawRecord]) -> None:
        self.run = run
        self.events: list[tuple[RawRecord, Recorded[Event]]] = []
        self.partitions: dict[PaymentId, int] = {}
        self.strays: set[PaymentId] = set()
        self.before: dict[PaymentId, PaymentHistory] = {}
        self.after: dict[PaymentId, PaymentHistory] = {}
        self.dead: list[DeadLetter] = []

    def note(self, read: tuple[RawRecord, Recorded[Event]]) -> None:
        record, recorded = read
        self.events.append(read)
        self.partitions[PaymentId(recorded.envelope.aggregate_id)] = record.partition

    def bury(self, record: RawRecord, error: Exception) -> None:
        self.dead.append(dead_letter(record, error))

    def fold(self) -> None:
        for record, recorded in self.events:
            payment_id = PaymentId(recorded.envelope.aggregate_id)
            try:
                if payment_id in self.strays:
                    raise Unreadable("its key belongs in another partition")
                history = self.after.get(payment_id) or self.before.get(payment_id)
                self.after[payment_id] = evolve(history, recorded)
            except Exception as error:  # as above: a fold that raises is a fault of this record alone
                self.bury(record, error)

    async def store(self, transaction: Transaction, watermarks: dict[int, Watermark]) -> None:
        for record in self.run:
            watermarks[record.partition] = Watermark(
                next_offset=record.offset + 1, last_stamp_ms=record.timestamp
            )
        changed = [(self.before.get(payment_id), after) for payment_id, after in self.after.items()]
        await transaction.store(
            payments=[after.payment for _, after in changed],
            attempts=[
                attempt
                for before, after in changed
                for attempt in _new(before.attempts if before else (), after.attempts)
            ],
            decisions=[
                decision
                for before, after in changed
                for decision in _new(before.decisions if before else (), after.decisions)
            ],
            owners=[after.payment for before, after in changed if _tells_of_its_owner(before, after)],
            work=[due for before, after in changed if (due := _new_work(before, after)) is not None],
            dead=self.dead,
            watermarks=watermarks,
        )


def dead_letter(record: RawRecord, error: Exception) -> DeadLetter:
    return DeadLetter(
        position=Position(topic=record.topic, partition=record.partition, offset=record.offset),
        stamp_ms=record.timestamp,
        reason=f"{type(error).__name__}: {error}"[:500].replace("\0", "�"),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def grouped(records: Iterable[RawRecord]) -> dict[int, list[RawRecord]]:
    """By partition, in offset order."""
    batch: dict[int, list[RawRecord]] = {}
    for record in records:
        batch.setdefault(record.partition, []).append(record)
    for partition in batch.values():
        partition.sort(key=lambda record: record.offset)
    return batch


def _read(record: RawRecord, refusal: str | None) -> tuple[RawRecord, Recorded[Event]]:
    if refusal is not None:
        raise Unreadable(refusal)
    return record, readable(record)


def readable(record: RawRecord, topic: str | None = None) -> Recorded[Event]:
    """The event, if it is one of the payment that the record's key names. Raises Unreadable.

    A record of another topic, such as a copy, is read as one of the `topic` whose events it holds.
    """
    position = Position(topic=topic or record.topic, partition=record.partition, offset=record.offset)
    recorded = decode(record.value, record.headers, position, record.timestamp)
    if record.key != recorded.envelope.aggregate_id.encode():
        raise Unreadable("its key is not its subject")
    if not is_payment_id(recorded.envelope.aggregate_id):
        raise Unreadable("its subject is no payment id")
    return recorded


def _new(before: tuple[T, ...], after: tuple[T, ...]) -> list[T]:
    """Structs are frozen, so what did not change is the very same object."""
    known = {id(row) for row in before}
    return [row for row in after if id(row) not in known]


def _tells_of_its_owner(before: PaymentHistory | None, after: PaymentHistory) -> bool:
    ownership = _ownership(after)
    return ownership is not None and (before is None or _ownership(before) != ownership)


def _ownership(history: PaymentHistory) -> tuple[str, int, bool] | None:
    """What the log knows of the payment's ownership row: nothing, before there is a request or an attempt."""
    payment = history.payment
    if payment.key_hash is None and not history.attempts:
        return None
    return payment.key_hash or payment.payment_id, payment.epoch, payment.handed_over


def _new_work(before: PaymentHistory | None, after: PaymentHistory) -> VerificationWork | None:
    """What verification has to do now, if that is not what the store knows.

    The store puts a payment off while somebody owns it, so its first owner's hand-over makes it due anew. A later owner
    is one that did the work; where that changed nothing, it waits for the window's end instead of turning in circles.
    """
    new = work(after)
    if before is None:
        return new if new.due_at is not None else None
    is_given_up = after.payment.handed_over and not before.payment.handed_over and after.payment.epoch == 1
    return new if is_given_up or work(before) != new else None


def _left_above(batch: Records, gaps: Gaps) -> int:
    return sum(record.offset >= gap.stop for partition, gap in gaps.items() for record in batch[partition])
