"""Dead letters, read back: which records no projection could take in and why, and another try for those of payments.

A payment is the fold of its records, so another try folds all of them again and puts the result in the place of what is
there: nothing is counted twice.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import Literal

from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.kafka.topics import DEAD_LETTERS_TOPIC
from infra.postgres.payments import PostgresPaymentSink
from infra.resources import product_database
from infra.settings import Settings
from projections.absorption import readable
from projections.ports import RawRecord
from projections.project import REMEMBERED_PER_PARTITION, Step
from schemas.base import Value
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Position
from schemas.errors import LogBroken, Unreadable
from schemas.ids import PaymentId, is_payment_id
from streams.replay.plan import Asked
from streams.replay.source import Source
from streams.replay.trail import part_of, records_of


class Letter(Value, frozen=True, kw_only=True):
    number: int
    """Its own offset, by which it is asked for."""
    stamp: datetime
    reader: str
    """The consumer group, or the part of one, that could not take it in."""
    reason: str
    position: Position
    """Where the record lies that it is about."""
    key: str
    value: str
    headers: dict[str, str]


Retried = Literal["taken in", "still unreadable", "not of payments"]

RECORDS_REMEMBERED = 50 * REMEMBERED_PER_PARTITION
"""A worker remembers its newest payments, few of which have more records than fifty, and would put what it remembers in
the place of what was folded here."""


def letter_box(settings: Settings) -> Source:
    return Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=DEAD_LETTERS_TOPIC)


async def letter(box: Source, number: int) -> Letter | None:
    """Reads no other. Raises LogUnavailable."""
    for part in (await box.plan(Asked(topic=box.topic, since="earliest"))).parts:
        if part.start <= number < part.stop:
            async with aclosing(box.batches(replace(part, start=number, stop=number + 1))) as batches:
                async for (record,) in batches:
                    return _letter(record)
    return None


async def letters(box: Source, since: datetime | None = None) -> AsyncGenerator[Letter, None]:
    """In the order in which they were told. Raises LogUnavailable, LogBroken."""
    plan = await box.plan(Asked(topic=box.topic, since=since or "earliest"))
    for part in plan.parts:
        async with aclosing(box.batches(part)) as batches:
            async for batch in batches:
                for record in batch:
                    yield _letter(record)


async def retry(settings: Settings, letter: Letter) -> tuple[Retried, str]:
    """And why not, or what is to be done yet. Raises LogUnavailable, LogBroken, StoreUnavailable."""
    if letter.reader != settings.projection_consumer_group or not is_payment_id(letter.key):
        return "not of payments", "only the view of a payment can be made again by itself"
    payment_id, partition = PaymentId(letter.key), letter.position.partition
    if partition != partition_for(payment_id):
        return "still unreadable", "its key belongs in another partition"
    try:
        return await _retry(settings, letter, payment_id, partition)
    except Unreadable as refusal:
        return "still unreadable", str(refusal)


async def _retry(
    settings: Settings, letter: Letter, payment_id: PaymentId, partition: int
) -> tuple[Retried, str]:
    """Raises Unreadable where Postgres cannot hold what it comes to."""
    source = Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC)
    part = await part_of(source, payment_id)
    records = await records_of(source, payment_id, part)
    async with AsyncExitStack() as stack:
        database = await product_database(settings, min_size=1, max_size=1)
        stack.push_async_callback(database.close)
        sink = PostgresPaymentSink(database)
        transaction = await stack.enter_async_context(sink.transaction(PAYMENTS_TOPIC, [partition]))
        reached = transaction.watermarks[partition].next_offset
        if reached > part.stop:
            records += await records_of(source, payment_id, replace(part, start=part.stop, stop=reached))
        step = _folded([record for record in records if record.offset < reached])
        for dead in step.dead:
            if dead.position == letter.position:
                return "still unreadable", dead.reason
        step.before = dict(await transaction.load([payment_id]))
        read = {record.offset for record in records if record.offset < reached}
        if unread := _known(step, payment_id, letter) - read:
            raise LogBroken(
                f"offset {min(unread)} of partition {partition} is not among the records of {payment_id}, and the "
                "payment cannot be made again without it"
            )
        await step.store(transaction, dict(transaction.watermarks))
        await transaction.forget_errors(partition, read - {dead.position.offset for dead in step.dead})
    if reached - records[-1].offset < RECORDS_REMEMBERED:
        return "taken in", "restart the projection workers, which may remember it as it was"
    return "taken in", ""


def _known(step: Step, payment_id: PaymentId, letter: Letter) -> set[int]:
    """Where records of it lie for certain: what is shown was made of them, and the letter is about one."""
    shown = step.before.get(payment_id)
    return {letter.position.offset, *(shown.payment.offsets if shown else ())}


def _folded(records: Iterable[RawRecord]) -> Step:
    step = Step([])
    for record in records:
        try:
            step.note(record, readable(record))
        except Unreadable as error:
            step.bury(record, error)
    step.fold()
    return step


def _letter(record: RawRecord) -> Letter:
    headers = {name: (content or b"").decode(errors="replace") for name, content in record.headers}
    position = Position(
        topic=headers.get("dl_topic", ""),
        partition=int(headers.get("dl_partition", -1)),
        offset=int(headers.get("dl_offset", -1)),
    )
    return Letter(
        number=record.offset,
        stamp=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        reader=headers.get("dl_reader", ""),
        reason=headers.get("dl_reason", ""),
        position=position,
        key=(record.key or b"").decode(errors="replace"),
        value=(record.value or b"").decode(errors="replace"),
        headers={name: text for name, text in headers.items() if not name.startswith("dl_")},
    )
