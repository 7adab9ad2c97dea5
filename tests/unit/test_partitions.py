"""Where a key belongs is told as every other producer of the log tells it."""

from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from events.partitions import partition_of


@given(st.binary(max_size=80), st.integers(1, 2_000))
def test_a_key_belongs_where_kafkas_default_partitioner_puts_it(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
