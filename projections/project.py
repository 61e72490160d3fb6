"""The step that makes *at least once* into *effectively once* for payments: rows and watermarks are stored in one
transaction, as `absorption.py` says."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from projections.absorption import Absorption, Gaps, Records, continuing, dead_letter, reached, readable
from projections.payments import evolve, fold
from projections.ports import DeadLetters, Log, RawRecord, Sink, Transaction
from projections.verifications import work
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.verification import VerificationWork
from schemas.views import DeadLetter, PaymentChanges, PaymentHistory, Watermark

REMEMBERED_PER_PARTITION = 512
"""Payments whose history is at hand without asking the store: at 1,000 a second, six seconds of them."""

T = TypeVar("T")


class Memory(Struct):
    """The newest histories of one partition, true as long as its watermark is the one we left, of the same rows."""

    generation: int
    next_offset: int
    histories: OrderedDict[PaymentId, PaymentHistory]


class Projection(Absorption):
    def __init__(
        self,
        topic: str,
        sink: Sink,
        log: Log,
        dead_letters: DeadLetters,
        partition_of: Callable[[str], int],
        remembered: int = REMEMBERED_PER_PARTITION,
    ) -> None:
        super().__init__(topic, log)
        self._sink = sink
        self._dead_letters = dead_letters
        self._partition_of = partition_of
        self._remembered = remembered
        self._memories: dict[int, Memory] = {}

    @property
    def next_offsets(self) -> dict[int, int]:
        """Of the partitions this process has taken records from, as it left them."""
        return {partition: memory.next_offset for partition, memory in self._memories.items()}

    async def _store(self, batch: Records, refusal: Unreadable | None = None) -> Gaps:
        try:
            async with self._sink.transaction(self._topic, sorted(batch)) as transaction:
                run, gaps = continuing(batch, transaction.watermarks)
                self._forget_what_is_old(batch, transaction.watermarks)
                step = await self._fold(run, transaction, refusal)
                if run:
                    await step.store(transaction, dict(transaction.watermarks))
                if step.dead:
                    await self._dead_letters.publish(step.dead)
        except BaseException:
            for partition in batch:
                self._memories.pop(partition, None)
            raise
        self._remember(step)
        self._count(batch, run, gaps, step.dead)
        return gaps

    def _forget_what_is_old(self, partitions: Iterable[int], watermarks: Mapping[int, Watermark]) -> None:
        for partition in partitions:
            mark, memory = watermarks[partition], self._memories.get(partition)
            left = None if memory is None else (memory.generation, memory.next_offset)
            if left != (mark.generation, mark.next_offset):
                self._memories[partition] = Memory(mark.generation, mark.next_offset, OrderedDict())

    async def _fold(
        self, run: Sequence[RawRecord], transaction: Transaction, refusal: Unreadable | None
    ) -> "Step":
        step = Step(run)
        for record in run:
            try:
                if refusal is not None:
                    raise refusal
                step.note(record, readable(record))
            except Exception as error:  # whatever a record does to us, it must not stop those behind it
                step.bury(record, error)
        unknown = []
        for partition, payment_id in step.noted:
            history = self._memories[partition].histories.get(payment_id)
            if history is not None:
                step.before[payment_id] = history
            elif self._partition_of(payment_id) == partition:
                unknown.append(payment_id)
            else:
                step.strays.add((partition, payment_id))
        if unknown:
            step.before.update(await transaction.load(unknown))
        step.fold()
        return step

    def _remember(self, step: "Step") -> None:
        for partition, mark in step.reached.items():
            self._memories[partition].next_offset = mark.next_offset
        for payment_id, history in step.after.items():
            histories = self._memories[step.partitions[payment_id]].histories
            histories[payment_id] = history
            histories.move_to_end(payment_id)
            if len(histories) > self._remembered:
                histories.popitem(last=False)


Noted = tuple[RawRecord, Recorded[Event]]


class Step:
    """What one run of records makes of the payments it is about."""

    def __init__(self, run: Sequence[RawRecord]) -> None:
        self.run = run
        self.reached = reached(run)
        self.noted: defaultdict[tuple[int, PaymentId], list[Noted]] = defaultdict(list)
        self.strays: set[tuple[int, PaymentId]] = set()
        """Those in a partition that is not their payment's."""
        self.before: dict[PaymentId, PaymentHistory] = {}
        self.after: dict[PaymentId, PaymentHistory] = {}
        self.partitions: dict[PaymentId, int] = {}
        """Of those that were folded."""
        self.dead: list[DeadLetter] = []

    def note(self, record: RawRecord, recorded: Recorded[Event]) -> None:
        place = record.partition, PaymentId(recorded.envelope.aggregate_id)
        self.noted[place].append((record, recorded))

    def bury(self, record: RawRecord, error: Exception) -> None:
        self.dead.append(dead_letter(record, error))

    def fold(self) -> None:
        for place, noted in self.noted.items():
            partition, payment_id = place
            if place in self.strays:
                for record, _ in noted:
                    self.bury(record, Unreadable("its key belongs in another partition"))
                continue
            self.partitions[payment_id] = partition
            before = self.before.get(payment_id)
            try:
                self.after[payment_id] = fold(before, [recorded for _, recorded in noted])
            except Exception:
                self._fold_singly(payment_id, before, noted)

    def _fold_singly(
        self, payment_id: PaymentId, history: PaymentHistory | None, noted: Iterable[Noted]
    ) -> None:
        """A fold that raises is a fault of that record alone, whatever it is."""
        for record, recorded in noted:
            try:
                history = self.after[payment_id] = evolve(history, recorded)
            except Exception as error:
                self.bury(record, error)

    async def store(self, transaction: Transaction, watermarks: dict[int, Watermark]) -> None:
        watermarks |= self.reached
        changed = [(self.before.get(payment_id), after) for payment_id, after in self.after.items()]
        changes = PaymentChanges(
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
        await transaction.store(changes)


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
