"""What the projections need of the outside world; `infra` has a real class and an in-memory twin of each."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from schemas.audit import AuditEntry
from schemas.base import Event
from schemas.delivery import Delivery
from schemas.envelope import Recorded
from schemas.exposure import ArmKey, CustomerKey, Exposure, Figures, Tally
from schemas.ids import ExperimentId, PaymentId
from schemas.metrics import Changes, Found, StoredShard
from schemas.payment import Order
from schemas.views import (
    DeadLetter,
    PaymentChanges,
    PaymentHistory,
    Watermark,
)
from schemas.webhook import SubscriptionId


class RawRecord(Protocol):
    """A record as it lies on the log. `timestamp` is the broker's stamp in milliseconds."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


Take = Callable[[Recorded[Event]], None]


class Tail(Protocol):
    """Tells all that is on a topic, in offset order, and then whatever comes."""

    async def start(self) -> bool: ...

    async def stop(self) -> None: ...

    @property
    def next_offset(self) -> int: ...

    @property
    def is_caught_up(self) -> bool: ...

    @property
    def is_current(self) -> bool: ...

    @property
    def behind_s(self) -> float: ...


class Log(Protocol):
    """Raises LogUnavailable when it cannot, in bounded time."""

    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[RawRecord]:
        """The records of offsets [start, stop), all of them."""

    async def end_offset(self, topic: str, partition: int) -> int:
        """The offset that the partition's next record will have."""


class TimedLog(Log, Protocol):
    async def offset_at(self, topic: str, partition: int, stamp_ms: int) -> int:
        """Of the first record stamped then or later; the end where there is none."""


class DeadLetters(Protocol):
    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when all are acknowledged; raises Unavailable when that is not certain.

        One letter may be published twice: what it told of was not stored in between.
        """


class Transaction(Protocol):
    """Everything asked and told in it is one snapshot, and is stored together or not at all."""

    @property
    def watermarks(self) -> Mapping[int, Watermark]:
        """Of every partition asked for; nobody else can move them before the end of the transaction."""

    async def load(self, payment_ids: Collection[PaymentId]) -> Mapping[PaymentId, PaymentHistory]: ...

    async def store(self, changes: PaymentChanges) -> None:
        """Raises Unreadable when a value is none the store can hold; the transaction is then of no more use."""


class Sink(Protocol):
    def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AbstractAsyncContextManager[Transaction]:
        """Committed when the block ends. Raises StoreUnavailable."""


class ExposureTransaction(Protocol):
    """Stored together or not at all."""

    @property
    def watermarks(self) -> Mapping[int, Watermark]:
        """Of every partition asked for; nobody else can move them before the end of the transaction."""

    async def load(self, payment_ids: Collection[PaymentId]) -> Mapping[PaymentId, Exposure]:
        """Those that are in an experiment."""

    async def add_to_customers(self, more: Mapping[CustomerKey, Figures]) -> Mapping[CustomerKey, Figures]:
        """What each of them has then. Nobody else can change it before the end of the transaction: a customer's
        payments lie in several partitions. To be asked once."""

    async def store(
        self,
        *,
        exposures: Mapping[PaymentId, Exposure],
        arms: Mapping[tuple[ArmKey, int], Tally],
        watermarks: Mapping[int, Watermark],
    ) -> None:
        """`arms` are added, each to the part of its arm that belongs to a source partition.

        Raises Unreadable, as `add_to_customers` does, when a value is none the store can hold; the transaction is then
        of no more use.
        """

    async def forget(self, before: PaymentId, ended: Collection[ExperimentId], most: int) -> int:
        """Exposures of payments whose ids sort before that, and customers of these experiments, so many of each at
        most; arms stay as they are. How many it were, of the kind of which it were more."""


class ExposureSink(Protocol):
    def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AbstractAsyncContextManager[ExposureTransaction]:
        """Committed when the block ends. Raises StoreUnavailable."""


class DeliveryTransaction(Protocol):
    """Stored together or not at all."""

    @property
    def watermarks(self) -> Mapping[int, Watermark]:
        """Of every partition asked for; nobody else can move them before the end of the transaction."""

    async def projected(self) -> Mapping[int, int]:
        """How far the payments' projection had come in each partition."""

    async def orders(self, payment_ids: Collection[PaymentId]) -> Mapping[PaymentId, Order]:
        """As far as the payments' projection has come by then."""

    async def store(self, deliveries: Sequence[Delivery], watermarks: Mapping[int, Watermark]) -> None:
        """One of the same event to the same subscription that is there already is left as it is.

        Raises Unreadable when a value is none the store can hold; the transaction is then of no more use.
        """


class DeliverySink(Protocol):
    def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AbstractAsyncContextManager[DeliveryTransaction]:
        """Committed when the block ends. Raises StoreUnavailable."""


class Recipients(Protocol):
    """Whom to tell, as far as it was heard."""

    def require(self) -> None:
        """Raises Unavailable while somebody may have subscribed who was not heard of."""

    def want(self, event_type: str) -> bool:
        """Whether anybody wants to be told of such events."""

    def want_of_merchants(self, event_type: str) -> bool:
        """Whether anybody wants those of some merchants' payments alone."""

    def of(self, event_type: str, merchant_id: str | None, stamp_ms: int) -> Sequence[SubscriptionId]: ...


class ShardStore(Protocol):
    """Tallies by source partition, each with its watermark, and both changed in one step. Raises StoreUnavailable."""

    async def load(self, partition: int) -> StoredShard | None:
        """None also for one that cannot be read; its watermark is there all the same."""

    async def watermark(self, partition: int) -> Watermark | None: ...

    async def store(self, partition: int, expected: int, watermark: Watermark, changes: Changes) -> Found:
        """Written if the watermark there has the expected next offset, and nothing is otherwise."""

    async def replace(self, partition: int, expected: int | None, shard: StoredShard) -> bool:
        """Instead of everything that is there, if its watermark is the expected one, or there is none."""

    async def changed_since(self, partition: int, next_offset: int) -> StoredShard | None:
        """The watermark, and whole the buckets that were written since it was `next_offset`."""


class MetricsCheckpoints(Protocol):
    """A shard as it was some seconds ago, by minutes of event time. Raises StoreUnavailable."""

    async def load(self, partition: int) -> tuple[Watermark, Sequence[bytes]] | None: ...

    async def save(
        self, partition: int, expected: Watermark | None, watermark: Watermark, slices: Mapping[int, bytes]
    ) -> bool:
        """The minutes that have changed, an empty one to leave, on top of the expected checkpoint; instead of any with
        no expectation. False, and nothing is saved, when the checkpoint is another one."""


class AuditSink(Protocol):
    """Entries of the audit and how far each topic is in them, changed in one transaction. Raises StoreUnavailable."""

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]:
        """By topic and partition; a partition that was never read has none."""

    async def keep(
        self, topic: str, partition: int, first: int, entries: Sequence[AuditEntry], reached: Watermark
    ) -> bool:
        """What the records from `first` up to the watermark come to; what is kept already is left as it is.

        False, and nothing is kept, where what comes before `first` is missing. Raises Unreadable, and nothing is kept,
        when an entry is none the store can hold.
        """
