"""Looks for texts in all that the product leaves behind: topics, tables, Redis, logs, and what its doors show."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import aiohttp
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from infra.kafka.reader import LogReader
from infra.redis.connection import Client, connect
from infra.settings import DEFAULT_ADMIN_KEY
from tests.product import Product

VAULT = "vault"
"""The schema in which whose the tokens are may stand."""
SHOWN = ("/metrics", "/ops/lag", "/audit?limit=100", "/webhooks/deliveries?limit=100", "/reviews?limit=100")
_TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


class Hit(NamedTuple):
    text: str
    """By its name."""
    where: str


Piece = tuple[str, bytes]
"""Where something stands, and what."""


async def scan(product: Product, texts: dict[str, str]) -> set[Hit]:
    """Every text, in whatever case, that stands anywhere; a name of ours for where."""
    wanted = {name: text.lower().encode() for name, text in texts.items()}
    hits: set[Hit] = set()
    async for where, content in _pieces(product):
        folded = content.lower()
        hits |= {Hit(name, where) for name, text in wanted.items() if text in folded}
    return hits


async def _pieces(product: Product) -> AsyncIterator[Piece]:
    for source in (_topics(product), _tables(product), _redis(product), _doors(product)):
        async for piece in source:
            yield piece
    for piece in _logs(product):
        yield piece


async def _topics(product: Product) -> AsyncIterator[Piece]:
    """Keys, values and headers of all that there are, by whatever name."""
    servers = product.env["KAFKA_BOOTSTRAP_SERVERS"]
    admin, reader = AIOKafkaAdminClient(bootstrap_servers=servers), LogReader(servers)
    await admin.start()
    try:
        for topic in sorted(await admin.list_topics()):
            if topic.startswith("__"):  # Kafka's own, which hold how far groups have read
                continue
            for partition, end in (await reader.end_offsets(topic, timeout_s=30)).items():
                for start in range(0, end, 20_000):
                    stop = min(start + 20_000, end)
                    for record in await reader.read(topic, partition, start, stop, timeout_s=30):
                        headers = [name.encode() + b"=" + content for name, content in record.headers]
                        yield f"topic {topic}", b"\n".join([record.key or b"", record.value or b"", *headers])
    finally:
        await reader.stop()
        await admin.close()


async def _tables(product: Product) -> AsyncIterator[Piece]:
    connection = await asyncpg.connect(product.env["DATABASE_URL"])
    try:
        for (table,) in await connection.fetch(_TABLES):
            for (row,) in await connection.fetch(f"SELECT one::text FROM {table} AS one"):
                yield f"table {table}", row.encode()
    finally:
        await connection.close()


async def _redis(product: Product) -> AsyncIterator[Piece]:
    redis = connect(product.env["REDIS_URL"])
    try:
        async for key in redis.scan_iter(count=1_000):
            yield "redis", key
            for value in await _values(redis, key):
                yield "redis", value
    finally:
        await redis.aclose()


async def _values(redis: Client, key: bytes) -> Sequence[bytes]:
    match await redis.type(key):
        case b"string":
            return [await redis.get(key) or b""]
        case b"hash":
            return [part for pair in (await redis.hgetall(key)).items() for part in pair]
        case b"set":
            return list(await redis.smembers(key))
        case b"zset":
            return list(await redis.zrange(key, 0, -1))
        case b"list":
            return list(await redis.lrange(key, 0, -1))
        case b"none":  # it has just expired
            return []
        case kind:
            raise AssertionError(f"a {kind} in Redis is not looked at")


async def _doors(product: Product) -> AsyncIterator[Piece]:
    key = {"X-Internal-Api-Key": product.env.get("INTERNAL_API_KEY", DEFAULT_ADMIN_KEY)}
    async with aiohttp.ClientSession() as http:
        for service in product.services:
            for path in SHOWN:
                async with http.get(service.url + path, headers=key) as answer:
                    yield f"door {service.name} {path}", await answer.read()


def _logs(product: Product) -> Iterator[Piece]:
    """Of our processes and of the servers, whose folders have the files of their stores as well, as these stand."""
    for folder in {product.folder, product.stack.folder}:
        for file in sorted(folder.rglob("*.log")):
            if file.is_file():
                yield f"log {file.relative_to(folder)}", file.read_bytes()
