"""Which partition a key lies in: murmur2, as Java clients do it; librdkafka needs `partitioner=murmur2_random`."""

from struct import unpack_from

PAYMENT_PARTITIONS = 12
"""For the life of the topic: another number would scatter the events of the payments that are there."""

_SEED, _FACTOR, _32_BITS = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def partition_for(key: str, partitions: int = PAYMENT_PARTITIONS) -> int:
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """As aiokafka's own, word by word instead of byte by byte: a replay asks it for every payment.

    https://github.com/apache/kafka/blob/4.1.0/clients/src/main/java/org/apache/kafka/common/utils/Utils.java
    """
    whole = len(key) & ~3
    found = _SEED ^ len(key)
    for word in unpack_from(f"<{whole // 4}I", key):
        word = word * _FACTOR & _32_BITS
        found = (found * _FACTOR ^ (word ^ word >> 24) * _FACTOR) & _32_BITS
    if whole < len(key):
        found = (found ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _32_BITS
    found = (found ^ found >> 13) * _FACTOR & _32_BITS
    return found ^ found >> 15
