"""A topic of one test's own, on real servers, and the command as somebody types it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from infra.kafka.producer import Message, Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import Topic, make_topics
from infra.local import ROOT
from infra.local.processes import surroundings
from infra.settings import Settings
from streams.replay.source import Source
from tests.bench.history import life, messages_of
from tests.projections.outcomes import SUCCESS
from tests.projections.story import BEGIN, new_payment_id

WITHIN_S = 120.0
_numbers = count(1)


class World:
    def __init__(self, environment: Mapping[str, str], partitions: int, topic: str | None = None) -> None:
        self._env = dict(environment)
        self.settings = Settings.from_environment(self._env)
        self.topic = topic or f"replayed-{os.getpid()}-{next(_numbers)}"
        self.partitions = partitions
        self.source = Source(bootstrap_servers=self.settings.kafka_bootstrap_servers, topic=self.topic)

    def beside(self) -> "World":
        """Another topic on the same servers."""
        return World(self._env, self.partitions)

    def on(self, topic: str) -> "World":
        """One of the product's topics, on the same servers."""
        return World(self._env, self.partitions, topic)

    @staticmethod
    def moment(stamp_ms: int) -> datetime:
        return datetime.fromtimestamp(stamp_ms / 1000, UTC)

    async def open(self) -> None:
        await make_topics(self.settings, [Topic(self.topic, self.partitions)])

    async def publish(self, messages: Sequence[Message], partition: int = 0) -> None:
        publisher = Publisher(self.settings.kafka_bootstrap_servers, 20_000)
        await publisher.start()
        for first in range(0, len(messages), 2_000):
            await publisher.publish(self.topic, partition, messages[first : first + 2_000])
        await publisher.stop()

    async def publish_in_a_transaction(self, message: Message) -> None:
        """What the payments' topic must never have: the mark of its end takes an offset, and is no record."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka_bootstrap_servers, transactional_id=f"{self.topic}-1"
        )
        await producer.start()
        async with producer.transaction():
            key, value, headers = message
            await producer.send(self.topic, value, key, partition=0, headers=headers)
        await producer.stop()
        reader = LogReader(self.settings.kafka_bootstrap_servers)
        for _ in range(600):
            if await reader.end_offset(self.topic, 0) == 2:  # the mark follows the acknowledgement
                break
            await asyncio.sleep(0.1)
        await reader.stop()

    async def retire(self, before: int, partition: int = 0) -> None:
        """As retention does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await admin.start()
        here = TopicPartition(self.topic, partition)
        await admin.delete_records({here: RecordsToDelete(before_offset=before)})
        await admin.close()

    async def begins(
        self, *words: str, program: Sequence[str] = ("-m", "streams.cli"), **environment: str
    ) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *program,
            *words,
            cwd=ROOT,
            env=surroundings(self._env | environment),
            stdout=PIPE,
            stderr=PIPE,
        )

    async def types(
        self, *words: str, program: Sequence[str] = ("-m", "streams.cli"), **environment: str
    ) -> tuple[int, str, str]:
        """The exit code, and what it says on standard output and on standard error."""
        return await ended(await self.begins(*words, program=program, **environment))


async def ended(process: Process) -> tuple[int, str, str]:
    try:
        async with asyncio.timeout(WITHIN_S):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


async def interrupted(process: Process) -> tuple[int, str, str]:
    process.send_signal(signal.SIGINT)
    return await ended(process)


def messages(payments: int, first: int = 0) -> list[Message]:
    """Whole lives, of five events each."""
    return [
        message
        for number in range(first, first + payments)
        for message in messages_of(new_payment_id(number), life(SUCCESS, "alpha", "bank", BEGIN))
    ]
