"""Experiments' sums in Postgres, which their results answer from, against a fold of the log up to their watermarks.

What is stored is read first, as of one moment, so that what comes meanwhile is in neither. Exposures are not compared:
they are what the next change of a sum is made from.
"""

from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from typing import cast

import uvloop

from commands.experiment_state import INITIAL, Ended, evolve
from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.postgres.database import Database
from infra.postgres.experiments import PostgresExperiments, StoredSums
from infra.settings import Settings
from projections.absorption import decoded
from projections.experiment_retention import forgettable, kept_since_ms
from schemas.codec import EXPERIMENTS_TOPIC, PAYMENTS_TOPIC
from schemas.envelope import Recorded
from schemas.errors import Unreadable
from schemas.experiment import ExperimentEvent
from schemas.exposure import ArmKey, CustomerKey, Figures, Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark
from streams.replay.exposures import sums
from streams.replay.letters import letter_box, letters
from streams.replay.plan import Asked, Part, Plan
from streams.replay.processes import Tell
from streams.replay.source import Source
from streams.replay.turns import Places
from streams.replay.verify_stores import Compared, compared


def stored_sums(settings: Settings) -> StoredSums:
    """Raises StoreUnavailable."""
    return uvloop.run(_stored(settings))


def verify_experiments(
    settings: Settings, stored: StoredSums, processes: int, tell: Tell = lambda _: None
) -> Compared:
    """Raises LogBroken, LogUnavailable."""
    source = Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC)
    left_out = uvloop.run(_refused(settings))
    folded = sums(source, projected(stored), processes, tell, left_out).sums
    forgotten = uvloop.run(_forgotten(settings, stored))
    kept = {
        customer: figures
        for customer, figures in folded.customers.items()
        if customer in stored.customers or customer.experiment_id not in forgotten
    }
    return compared(_named(stored.arms, stored.customers), _named(folded.arms, kept))


def projected(stored: StoredSums) -> Plan:
    """Everything that is in the sums."""
    parts = [
        Part(partition=partition, start=0, stop=mark.next_offset)
        for partition, mark in sorted(stored.watermarks.items())
    ]
    return Plan(topic=PAYMENTS_TOPIC, parts=tuple(parts))


async def _stored(settings: Settings) -> StoredSums:
    database = await Database.connect(settings.database_url, max_size=1)
    try:
        return await PostgresExperiments(database).sums()
    finally:
        await database.close()


async def _refused(settings: Settings) -> Places:
    """What its dead letters tell of: a record that Postgres could not hold is in no sum."""
    async with aclosing(letters(letter_box(settings))) as told:
        return frozenset(
            [
                (one.position.partition, one.position.offset)
                async for one in told
                if one.reader == settings.experiment_consumer_group and one.position.topic == PAYMENTS_TOPIC
            ]
        )


async def _forgotten(settings: Settings, stored: StoredSums) -> frozenset[ExperimentId]:
    """Experiments that ended so long ago that their customers may be gone."""
    not_read = Watermark(next_offset=0, last_stamp_ms=0)
    marks = [stored.watermarks.get(partition, not_read) for partition in range(PAYMENT_PARTITIONS)]
    return frozenset(forgettable(await _ended(settings), kept_since_ms(marks)))


async def _ended(settings: Settings) -> Mapping[ExperimentId, datetime]:
    source = Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=EXPERIMENTS_TOPIC)
    experiments = INITIAL
    for part in (await source.plan(Asked(topic=source.topic))).parts:
        async with aclosing(source.batches(part)) as batches:
            async for batch in batches:
                for record in batch:
                    try:
                        heard = cast("Recorded[ExperimentEvent]", decoded(record))
                    except Unreadable:
                        continue
                    experiments = evolve(experiments, heard)
    return {key: one.changed_at for key, one in experiments.known.items() if isinstance(one, Ended)}


def _named(arms: Mapping[ArmKey, Tally], customers: Mapping[CustomerKey, Figures]) -> dict[str, object]:
    """Each sum by the names of what it is of; whether a zero is stored is nobody's business."""
    named: dict[str, object] = {
        f"{arm.experiment_id} {arm.variant} {name}": count
        for arm, tally in arms.items()
        for name, count in tally.items()
        if count
    }
    return named | {
        f"{one.experiment_id} {one.variant} customer {one.customer_id}": figures._asdict()
        for one, figures in customers.items()
        if any(figures)
    }
