"""Which partition a key lies in: murmur2, as Java clients do it; librdkafka needs `partitioner=murmur2_random`."""

from aiokafka.partitioner import murmur2

PAYMENT_PARTITIONS = 12
"""For the life of the topic: another number would scatter the events of the payments that are there."""


def partition_for(key: str, partitions: int = PAYMENT_PARTITIONS) -> int:
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
