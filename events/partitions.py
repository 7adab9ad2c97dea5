"""Which partition a key belongs to: Kafka's default partitioner, murmur2 of the key. EVENTS section 1."""

from typing import Final

from mypy_extensions import i64

SEED: Final = 0x9747B28C
MIX: Final = 0x5BD1E995
LOW: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner (Java and aiokafka) gives a key, of so many: `murmur2` of aiokafka says the same,
    forty times slower.
    """
    size: i64 = len(key)
    whole: i64 = size - size % 4
    mixed: i64 = SEED ^ size
    at: i64 = 0
    while at < whole:
        four: i64 = key[at] | key[at + 1] << 8 | key[at + 2] << 16 | key[at + 3] << 24
        four = four * MIX & LOW
        four = (four ^ four >> 24) * MIX & LOW
        mixed = mixed * MIX & LOW ^ four
        at += 4
    rest: i64 = size - whole
    if rest > 0:
        left: i64 = key[whole]
        if rest > 1:
            left |= key[whole + 1] << 8
        if rest > 2:
            left |= key[whole + 2] << 16
        mixed = (mixed ^ left) * MIX & LOW
    mixed = (mixed ^ mixed >> 13) * MIX & LOW
    mixed ^= mixed >> 15
    return int(mixed & 0x7FFFFFFF) % partitions
