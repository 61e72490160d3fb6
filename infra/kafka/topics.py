"""The topics, made once and for life: every number here is one that cannot be changed without moving the log.

Broker time (`LogAppendTime`) judges the validity windows; no compaction and no transactions keep offsets gap-free.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.settings import Settings
from schemas.codec import (
    CIRCUIT_OUTCOMES_TOPIC,
    CIRCUITS_TOPIC,
    CONFIGURATION_TOPIC,
    EXPERIMENTS_TOPIC,
    NOTIFICATIONS_TOPIC,
    PAYMENTS_TOPIC,
    RELIABILITY_TOPIC,
    SHADOW_TOPIC,
)
from schemas.errors import LogUnavailable

DEAD_LETTERS_TOPIC = "dead-letters.v1"
FOR_EVER = -1
A_MONTH_MS = 30 * 24 * 3600 * 1000
READY_WITHIN_S = 30.0
_RETRY_S = 0.1


class Topic(NamedTuple):
    name: str
    partitions: int
    retention_ms: int = FOR_EVER


TOPICS = (
    Topic(PAYMENTS_TOPIC, PAYMENT_PARTITIONS),
    Topic(NOTIFICATIONS_TOPIC, PAYMENT_PARTITIONS),
    Topic(CONFIGURATION_TOPIC, 1),
    Topic(CIRCUITS_TOPIC, 1),
    Topic(CIRCUIT_OUTCOMES_TOPIC, PAYMENT_PARTITIONS, retention_ms=A_MONTH_MS),
    Topic(EXPERIMENTS_TOPIC, 1),
    Topic(RELIABILITY_TOPIC, 1),
    Topic(SHADOW_TOPIC, PAYMENT_PARTITIONS, retention_ms=A_MONTH_MS),
    Topic(DEAD_LETTERS_TOPIC, 1),
)


class WrongTopic(Exception):
    """A topic is there already and is not what it has to be; only a person can decide what to do about it."""


async def make_topics(settings: Settings, topics: Iterable[Topic] = TOPICS) -> list[str]:
    """Make those that are missing and wait until all can be used; returns the names of the new ones.

    Raises WrongTopic, and LogUnavailable when the broker is not ready within 30 s.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers, request_timeout_ms=10_000)
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            await admin.start()
            made = [topic.name for topic in topics if await _make(admin, topic, settings)]
            for topic in topics:
                await _check(admin, topic, settings)
            await _warm_up(admin, settings.projection_consumer_group)
            return made
    except (TimeoutError, KafkaError, OSError) as error:
        raise LogUnavailable(f"topics cannot be made: {type(error).__name__} {error}".rstrip()) from error
    finally:
        await admin.close()


async def _make(admin: AIOKafkaAdminClient, topic: Topic, settings: Settings) -> bool:
    """Whether it was not there."""
    new = NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=settings.kafka_replication_factor,
        topic_configs=_configuration(topic, settings),
    )
    response = await admin.create_topics([new])
    ((_, code, *message),) = response.topic_errors
    error = for_code(code)
    if error is not TopicAlreadyExistsError and code != 0:
        raise error(f"{topic.name}: {message[0] if message else ''}")
    return bool(code == 0)


def _configuration(topic: Topic, settings: Settings) -> dict[str, str]:
    return {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": "-1",
        "min.insync.replicas": str(settings.kafka_min_insync_replicas),
        "unclean.leader.election.enable": "false",
    }


async def _check(admin: AIOKafkaAdminClient, topic: Topic, settings: Settings) -> None:
    """Wait for the leaders of a topic, and refuse one that is not as it has to be."""
    while True:
        (found,) = await admin.describe_topics([topic.name])
        partitions = found["partitions"]
        if partitions and all(partition["leader"] >= 0 for partition in partitions):
            break
        await asyncio.sleep(_RETRY_S)
    if len(partitions) != topic.partitions:
        raise WrongTopic(
            f"{topic.name} has {len(partitions)} partitions; it must have {topic.partitions}, for life"
        )
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
    configuration = {name: value for name, value, *_ in response.resources[0][4]}
    for name, needed in _configuration(topic, settings).items():
        if configuration.get(name) != needed:
            raise WrongTopic(f"{topic.name} has {name}={configuration.get(name)}; it must be {needed}")


async def _warm_up(admin: AIOKafkaAdminClient, group: str) -> None:
    """The first look for a group's coordinator makes the topic of offsets, and is refused until that is there."""
    while True:
        try:
            await admin.find_coordinator(group)
            return
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(_RETRY_S)
