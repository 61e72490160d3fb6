"""Exposed payments as they lie on the log, for tests of what experiments' figures are made of."""

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.memory.experiments import MemoryExperiments
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from projections.experiment_intake import ExperimentIntake
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import ALWAYS, Recorded
from schemas.exposure import Tally
from schemas.ids import ExperimentId, PaymentId
from schemas.payment import (
    ChargeCompensated,
    ExperimentAssigned,
    LateSuccessDetected,
    ReviewRequested,
    ReviewSettled,
)
from tests.projections.story import (
    BEGIN,
    BEGIN_MS,
    BETA,
    FIRST,
    SECOND,
    WINDOW,
    awaiting,
    declined,
    failed,
    in_doubt,
    new_payment_id,
    not_sent,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    routed,
    started,
    succeeded,
)

EXPERIMENT = ExperimentId("exp_1")
DAY_MS = 86_400_000
LAST_MINTED = BEGIN + timedelta(days=120)
"""In a long history."""


def assigned(
    variant: str = "treatment", customer: str = "cus_1", experiment: str = EXPERIMENT
) -> ExperimentAssigned:
    return ExperimentAssigned(
        experiment_id=experiment, variant=variant, treatment=variant != "control", customer_id=customer
    )


def late(*, kept: bool, second: bool = False) -> LateSuccessDetected:
    return LateSuccessDetected(
        attempt_id=SECOND if second else FIRST,
        gateway=BETA,
        gateway_reference="ref",
        kept=kept,
    )


def compensated() -> ChargeCompensated:
    return ChargeCompensated(attempt_id=FIRST, gateway=BETA, gateway_reference="ref", by="refund")


REVIEWED = ReviewRequested(unsettled=(FIRST,))
SETTLED = ReviewSettled(attempt_id=FIRST, verdict="declined", settled_by="asha", note="")

FATES: tuple[tuple[Event, ...], ...] = (
    (succeeded(), paid()),
    (succeeded(),),
    (declined(), failed()),
    (declined(), started(SECOND, BETA), succeeded(SECOND, BETA), paid(SECOND, BETA)),
    (not_sent(), started(SECOND, BETA), declined(SECOND, BETA), failed()),
    (in_doubt(), succeeded(verified=True), paid()),
    (in_doubt(), declined(verified=True), failed()),
    (in_doubt(), REVIEWED, SETTLED, failed()),
    (awaiting(), succeeded(verified=True), paid()),
    (declined(), failed(), late(kept=False)),
    (declined(), failed(), late(kept=False), compensated()),
    (declined(), failed(), late(kept=True), paid()),
    (declined(), started(SECOND, BETA)),
    (),
)
"""What may become of a payment after its first attempt was started."""


def a_history(seed: int, payments: int = 60) -> list[RawRecord]:
    """Of exposed payments and others, interleaved as they may be, with offsets of their partitions."""
    chance = random.Random(seed)
    streams: list[list[tuple[PaymentId, Event]]] = []
    for number in range(1, payments + 1):
        payment = new_payment_id(number)
        variant = chance.choice(("control", "treatment"))
        exposed = (
            [assigned(variant, f"cus_{variant}_{chance.randint(1, 9)}")] if chance.random() < 0.8 else []
        )
        events = [requested(), *exposed, routed(), started(), *chance.choice(FATES)]
        streams.append([(payment, renamed(event, payment)) for event in events])
    offsets: dict[int, int] = defaultdict(int)
    records = []
    while streams:
        stream = chance.choice(streams)
        payment, event = stream.pop(0)
        if not stream:
            streams.remove(stream)
        partition = partition_for(payment)
        window = WINDOW if chance.random() < 0.95 else replace(WINDOW, valid_until_ms=1)
        records.append(raw(recorded(event, offsets[partition], payment=payment, window=window)))
        offsets[partition] += 1
    return records


def a_long_history(seed: int, payments: int = 150) -> list[RawRecord]:
    """Half a year of exposed payments, of which some are told of for longer than that counts."""
    chance, stamped = random.Random(seed), list[tuple[int, int, Recorded[Event]]]()
    for number in range(1, payments + 1):
        at_ms = BEGIN_MS + chance.randrange(round(LAST_MINTED.timestamp() * 1000) - BEGIN_MS)
        payment = new_payment_id(number, at_ms)
        variant = chance.choice(("control", "treatment"))
        events = [assigned(variant, f"cus_{variant}_{chance.randint(1, 9)}"), routed(), started()]
        for place, event in enumerate([*events, *chance.choice(FATES)]):
            told = recorded(renamed(event, payment), payment=payment, window=ALWAYS)
            stamped.append((at_ms, number * 100 + place, told))
            at_ms += chance.choice((100, 100, DAY_MS, 59 * DAY_MS, 61 * DAY_MS))
    offsets: dict[int, int] = defaultdict(int)
    records = []
    for stamp_ms, _, told in sorted(stamped, key=lambda one: one[:2]):
        partition = told.position.partition
        position = replace(told.position, offset=offsets[partition])
        records.append(raw(replace(told, position=position, stamp_ms=stamp_ms)))
        offsets[partition] += 1
    return records


def on_the_log(records: Sequence[RawRecord]) -> MemoryRecords:
    log = MemoryRecords()
    for record in records:
        log.append(record.topic, record.partition, record.timestamp, record.key, record.value, record.headers)
    return log


def an_intake(
    store: MemoryExperiments, log: MemoryRecords, letters: MemoryDeadLetters | None = None
) -> ExperimentIntake:
    return ExperimentIntake(PAYMENTS_TOPIC, store, log, letters or MemoryDeadLetters(), partition_for)


async def folded(records: Sequence[RawRecord]) -> tuple[MemoryExperiments, dict[str, Tally]]:
    store = MemoryExperiments()
    await an_intake(store, on_the_log(records)).absorb(records)
    return store, (await store.tallies(EXPERIMENT))[0]
