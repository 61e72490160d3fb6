"""The tallies of hot metrics, by source partition: one hash tag, hence one slot, for each.

`{topic:7}:v1:watermark` is "next_offset stamp_ms". `{topic:7}:v1:bucket:N` is a hash of ten seconds: a cell's JSON to
its tally's JSON. `{topic:7}:v1:buckets` are the buckets there are, each with the next offset at which it was last
written. What is written changes together, in one script, or not at all.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
import structlog

from infra.redis.connection import Client, unavailable
from infra.redis.scripts import script
from schemas.metrics import Buckets, Cell, Changes, Found, StoredShard, Tally
from schemas.views import Watermark

log = structlog.get_logger(__name__)

VERSION = 1
"""Of what is written: two that read it differently must not share it. What another one left there goes with Redis."""
_FOUND: dict[bytes, Found] = {b"expected": "expected", b"none": "none", b"another": "another"}
_NONE = b""
_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_tally = msgspec.json.Decoder(Tally).decode
_texts = msgspec.msgpack.Decoder(list[str]).decode
_cells = msgspec.json.Decoder(Cell).decode


class RedisShards:
    """Raises StoreUnavailable."""

    def __init__(self, redis: Client, topic: str, partitions: int) -> None:
        self._redis = redis
        self._topic = topic
        self._partitions = partitions
        self._store = script(redis, "store_shard")
        self._load = script(redis, "load_shard")

    async def load(self, partition: int) -> StoredShard | None:
        return await self._read(partition, 0)

    async def changed_since(self, partition: int, next_offset: int) -> StoredShard | None:
        return await self._read(partition, next_offset + 1)

    async def watermark(self, partition: int) -> Watermark | None:
        with unavailable():
            return _watermark(await self._redis.get(self._key(partition, "watermark")))

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        """By topic and partition; a partition that was never read has none."""
        with unavailable():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for partition in range(self._partitions):
                    pipeline.get(self._key(partition, "watermark"))
                found = await pipeline.execute()
        marks = ((partition, _watermark(text)) for partition, text in enumerate(found))
        return {(self._topic, partition): mark for partition, mark in marks if mark is not None}

    async def store(self, partition: int, expected: int, watermark: Watermark, changes: Changes) -> Found:
        return await self._write(partition, b"%d" % expected, watermark, changes)

    async def replace(self, partition: int, expected: int | None, shard: StoredShard) -> bool:
        """Also of what stands there without a watermark: it is nobody's."""
        before = _NONE if expected is None else b"%d" % expected
        changes = Changes(shard.buckets, frozenset())
        return await self._write(partition, before, shard.watermark, changes, whole=True) == "expected"

    async def _write(
        self, partition: int, expected: bytes, watermark: Watermark, changes: Changes, whole: bool = False
    ) -> Found:
        arguments: list[bytes | str | int] = [
            self._key(partition, "bucket:"),
            expected,
            b"%d %d" % (watermark.next_offset, watermark.last_stamp_ms),
            watermark.next_offset,
            int(whole),
            _pack([str(bucket) for bucket in changes.left]),
        ]
        for bucket, tallies in changes.tallies.items():
            arguments += (bucket, *_packed(tallies))
        with unavailable():
            return _FOUND[await self._store(keys=self._keys(partition), args=arguments)]

    async def _read(self, partition: int, written_since: int) -> StoredShard | None:
        with unavailable():
            mark, *told = await self._load(
                keys=self._keys(partition), args=[self._key(partition, "bucket:"), written_since]
            )
        watermark = _watermark(mark)
        if watermark is None:
            return None
        buckets: Buckets = {}
        try:
            for bucket, packed in zip(told[::2], told[1::2], strict=True):
                buckets[int(bucket)] = _unpacked(packed)
                await asyncio.sleep(
                    0
                )  # an hour of them is some hundred milliseconds, and others have their turns
            return StoredShard(watermark, buckets)
        except msgspec.DecodeError as error:  # as good as lost: it is made anew of the log
            log.warning(
                "a shard that cannot be read", topic=self._topic, partition=partition, reason=str(error)
            )
            return None

    def _keys(self, partition: int) -> list[str]:
        return [self._key(partition, "watermark"), self._key(partition, "buckets")]

    def _key(self, partition: int, name: str) -> str:
        return f"{{{self._topic}:{partition}}}:v{VERSION}:{name}"


def _watermark(text: bytes | None) -> Watermark | None:
    if not text:
        return None
    next_offset, stamp_ms = map(int, text.split())
    return Watermark(next_offset=next_offset, last_stamp_ms=stamp_ms)


@lru_cache(maxsize=20_000)
def _field(cell: Cell) -> str:
    return _json(cell).decode()


@lru_cache(maxsize=20_000)
def _cell(field: str) -> Cell:
    return _cells(field)


def _packed(tallies: Mapping[Cell, Tally | None]) -> tuple[bytes, bytes]:
    """What is to be set, field and value in turn, and the fields that are to go."""
    told: list[str] = []
    gone: list[str] = []
    for cell, tally in tallies.items():
        if tally:
            told += (_field(cell), _json(tally).decode())
        else:
            gone.append(_field(cell))
    return _pack(told), _pack(gone)


def _unpacked(packed: bytes) -> dict[Cell, Tally]:
    texts: Sequence[str] = _texts(packed)
    return {_cell(texts[place]): _tally(texts[place + 1]) for place in range(0, len(texts), 2)}
