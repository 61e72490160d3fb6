"""Takes exposed payments into customers and arms, effectively once: figures and watermarks change in one transaction.

As `absorption.py` says. Sums cannot be stored twice and come out right, so everything that is read is read under the
watermarks' locks.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from projections.absorption import Absorption, Gaps, Records, continuing, dead_letter, reached, readable
from projections.contributions import changes, of_customers
from projections.experiments import TOLD_BY, evolve
from projections.ports import DeadLetters, ExposureSink, ExposureTransaction, Log, RawRecord
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import Unreadable
from schemas.exposure import ArmKey, CustomerKey, Exposure, Figures, Tally
from schemas.ids import PaymentId
from schemas.views import DeadLetter

_TELLING = frozenset(name.encode() for name in TOLD_BY)


class ExperimentIntake(Absorption):
    def __init__(
        self,
        topic: str,
        sink: ExposureSink,
        log: Log,
        dead_letters: DeadLetters,
        partition_of: Callable[[str], int],
    ) -> None:
        super().__init__(topic, log)
        self._sink = sink
        self._dead_letters = dead_letters
        self._partition_of = partition_of

    async def _store(self, batch: Records, refusal: Unreadable | None = None) -> Gaps:
        async with self._sink.transaction(self._topic, sorted(batch)) as transaction:
            run, gaps = continuing(batch, transaction.watermarks)
            step = Step(self._partition_of)
            for record in run:
                step.note(record, refusal)
            if run:
                await step.store(transaction, run)
            if step.dead:
                await self._dead_letters.publish(step.dead)
        self._count(batch, run, gaps, step.dead)
        return gaps


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
            if (recorded := telling(record, self._partition_of)) is not None:
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
        changed_arms = {part: tally for part, tally in arms.items() if any(tally.values())}
        await transaction.store(exposures=after, arms=changed_arms, watermarks=reached(run))

    def _folded(self, before: Mapping[PaymentId, Exposure]) -> dict[PaymentId, Exposure]:
        """Those that are another thing than before."""
        after: dict[PaymentId, Exposure] = {}
        for _, recorded in self._events:
            payment_id = PaymentId(recorded.envelope.aggregate_id)
            known = after.get(payment_id) or before.get(payment_id)
            if (exposure := evolve(known, recorded)) is not None and exposure is not known:
                after[payment_id] = exposure
        return after


def telling(record: RawRecord, partition_of: Callable[[str], int]) -> Recorded[Event] | None:
    """An event that may change an exposure. Raises Unreadable."""
    if not _tells(record):
        return None
    recorded = readable(record)
    if partition_of(recorded.envelope.aggregate_id) != record.partition:
        raise Unreadable("its key belongs in another partition")
    return recorded


def _tells(record: RawRecord) -> bool:
    """A record that says nothing of its kind is read, so that somebody hears of it."""
    kinds = [content for name, content in record.headers if name == "ce_type"]
    return not kinds or kinds[0] in _TELLING or kinds[0] == b""


def _add(tally: Tally, more: Tally) -> None:
    for name, count in more.items():
        tally[name] += count
