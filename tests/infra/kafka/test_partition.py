"""A key's partition is the one that every other client of Kafka finds."""

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.partition import murmur2, partition_for
from tests.projections.story import new_payment_id


@given(st.binary(max_size=80))
def test_a_key_of_any_length_has_the_hash_that_aiokafka_gives_it(key: bytes) -> None:
    assert murmur2(key) == reference(key)


def test_javas_own_examples_hold() -> None:
    """https://github.com/apache/kafka/blob/4.1.0/clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java"""
    signed = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: murmur2(key) for key in signed} == {key: found % 2**32 for key, found in signed.items()}


@given(st.integers(0, 2**62 - 1))
def test_payments_lie_where_aiokafkas_own_partitioner_puts_them(number: int) -> None:
    payment = new_payment_id(number)
    assert partition_for(payment) == (reference(payment.encode()) & 0x7FFFFFFF) % 12
