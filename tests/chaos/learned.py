"""What was learned beside the payments, hot metrics and circuits: as their stores have it at the end of a run, and as
it is folded anew from the topics. By name, so that what differs can be told.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import aiohttp
import msgspec

from commands.circuit_messages import message_of
from commands.circuit_writing import WrittenCircuit
from infra.circuit_policies import CircuitPolicies
from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.kafka.reader import LogReader
from infra.postgres.circuits import PostgresCircuits
from infra.postgres.database import Database
from infra.redis.connection import Client as Redis
from infra.redis.connection import connect, unavailable
from infra.redis.shards import RedisShards
from infra.settings import Settings
from projections.shard import Shard
from schemas.base import Event, Value
from schemas.circuit import ForwardedMessage, circuit_name
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC, CIRCUITS_TOPIC, PAYMENTS_TOPIC
from schemas.envelope import Recorded
from schemas.errors import StoreUnavailable, Unavailable
from schemas.metrics import SNAPSHOT_KEY, Published, RoutingSnapshot
from tests.checker.evidence import Record
from tests.folds import WrittenCircuits, cells_of, filled, fold_to, known_circuits, to_publish, told_circuits
from tests.product import Client, Product, read_records
from tests.projections.outcomes import an_empty_shard

WITHIN_S = 150.0
"""A worker that stands still ends by itself after a minute, and is started again."""
ROUND_S = 1.0

ByName = dict[str, object]

_snapshot = msgspec.msgpack.Decoder(RoutingSnapshot)
_written = msgspec.json.Decoder(WrittenCircuit)


class Learned(Value, frozen=True, kw_only=True):
    stored: Mapping[str, object]
    folded: Mapping[str, object]

    @property
    def agrees(self) -> bool:
        return self.stored == self.folded


class Learning:
    """Of one product."""

    def __init__(self, product: Product, client: Client, database: Database, reader: LogReader) -> None:
        self._product = product
        self._client = client
        self._database = database
        self._reader = reader
        self._settings = Settings.from_environment(product.env)

    async def learned(self) -> Learned:
        """As soon as both agree, or the time is up: the checker tells what that means. Raises what hindered it."""
        redis = connect(self._settings.redis_url, timeout_s=10)
        give_up_at, found = time.monotonic() + WITHIN_S, None
        try:
            while True:
                try:
                    found = await self._found(redis)
                except (Unavailable, aiohttp.ClientError, TimeoutError):
                    if time.monotonic() > give_up_at:
                        raise
                if found is not None and (found.agrees or time.monotonic() > give_up_at):
                    return found
                await asyncio.sleep(ROUND_S)
        finally:
            await redis.aclose()

    async def _found(self, redis: Redis) -> Learned:
        stored, folded = await self._metrics(redis)
        stored_circuits, folded_circuits = await self._circuits()
        return Learned(stored=stored | stored_circuits, folded=folded | folded_circuits)

    async def _metrics(self, redis: Redis) -> tuple[ByName, ByName]:
        store, shards = RedisShards(redis, PAYMENTS_TOPIC, PAYMENT_PARTITIONS), list[Shard]()
        stored, folded = ByName(), ByName()
        with unavailable():
            packed = await redis.get(SNAPSHOT_KEY)
        for partition, end in (await self._reader.end_offsets(PAYMENTS_TOPIC, timeout_s=30)).items():
            shard, found = an_empty_shard(partition), await store.load(partition)
            await fold_to(self._reader, shard, end)
            shards.append(shard)
            name = f"metrics of partition {partition}"
            folded[name] = (shard.next_offset, filled(shard.buckets))
            stored[name] = found and (found.watermark.next_offset, filled(found.buckets))
        if packed is None:
            raise StoreUnavailable("nothing is published")
        published = _snapshot.decode(packed)
        expected = to_publish(
            shards, Published(version=published.version, as_of=published.as_of, through=published.through)
        )
        name = "published metrics"
        return stored | {name: cells_of(published)}, folded | {name: cells_of(expected)}

    async def _circuits(self) -> tuple[ByName, ByName]:
        """As their writer checkpointed them, as everybody was told, and as each API process shows them."""
        stack, store = self._product.stack, PostgresCircuits(self._database)
        events = await read_records(stack, CIRCUITS_TOPIC)
        messages = await read_records(stack, CIRCUIT_OUTCOMES_TOPIC)
        written, known = WrittenCircuits(messages, CircuitPolicies(self._settings).of), known_circuits(events)
        stored, folded = ByName(), ByName()
        for partition in await self._reader.end_offsets(CIRCUIT_OUTCOMES_TOPIC, timeout_s=30):
            _, checkpoint = await store.checkpoint(partition) or (None, ())
            for one in checkpoint:
                name = circuit_name(one.gateway, one.payment_method)
                stored[f"checkpoint of {name}"] = _written.decode(one.state)
        folded |= {f"checkpoint of {circuit_name(*key)}": one for key, one in written.circuits.items()}
        views, _ = await store.views()
        stored |= {f"view of {circuit_name(*key)}": one for key, one in views.items()}
        folded |= {f"view of {circuit_name(*key)}": one for key, one in known.known.items()}
        stored |= {f"events of {circuit_name(*key)}": told for key, told in told_circuits(events).items()}
        folded |= {f"events of {circuit_name(*key)}": told for key, told in written.told.items() if told}
        for number, api in enumerate(self._product.apis):
            shown = (await self._client.get("/circuit-breaker/status", api=number)).body["circuits"]
            stored |= {
                f"{one['gateway']}:{one['payment_method']} at {api.name}": (one["status"], one["version"])
                for one in shown
                if one["version"]
            }
            folded |= {
                f"{circuit_name(*key)} at {api.name}": (one.view.status, one.sequence)
                for key, one in known.known.items()
            }
        return stored, folded


async def circuit_figures(product: Product, records: Iterable[Record]) -> dict[str, int]:
    """What circuits went through, and how many calls tell of a gateway that its circuit never counted: what an append
    left out, and what came after its successors."""
    events = await read_records(product.stack, CIRCUITS_TOPIC)
    messages = await read_records(product.stack, CIRCUIT_OUTCOMES_TOPIC)
    calls = {
        (told.source_partition, told.source_offset)
        for record in records
        if isinstance(told := message_of(record), ForwardedMessage)
    }
    return {
        **Counter(type(record.event).__name__ for record in events),
        "calls": len(calls),
        "calls that were not counted": len(calls - set(_counted(messages))),
    }


def _counted(messages: Iterable[Recorded[Event]]) -> Iterator[tuple[int, int]]:
    newest: dict[tuple[str, int], int] = {}
    for record in messages:
        if isinstance(record.event, ForwardedMessage):
            place = record.envelope.aggregate_id, record.event.source_partition
            if record.event.source_offset > newest.get(place, -1):
                newest[place] = record.event.source_offset
                yield record.event.source_partition, record.event.source_offset
