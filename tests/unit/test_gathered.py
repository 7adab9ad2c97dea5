"""Records put together by person before they are read: where a partition stands after them is told all the same."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import pytest

from events.envelope import Recorded
from events.times import instant
from projections.policy import Policy
from services.projector import gathered
from services.projector.gathered import Gathered, stated_time
from services.projector.records import Parked, Reader
from tests.builders import DAY, HOUR, MONDAY, lines, tick, worked

READER = Reader(Policy(), 1, clock_rule=False)
ODD = (
    b"no fact",
    b'{"recordedtime":"2099-01-01T00:00:00Z"}',
    b'{"data":{"recordedtime":"2098-01-01T00:00:00Z"}}',
    (
        b'{"specversion":"1.0","id":"x","source":"/s","type":"t","subject":"p","time":"2096-01-01T00:00:00Z",'
        b'"recordedtime":"2097-01-01T00:00:00Z","recorded\\u0074ime":"2096-01-02T00:00:00Z"}'
    ),
)


@dataclass
class One:
    """A record of a partition."""

    offset: int
    value: bytes | None
    key: bytes | None = b"default|p1"
    partition: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = 0


def told(random: Random, odd: tuple[bytes, ...]) -> list[bytes | None]:
    found: list[bytes | None] = [None, *odd] * random.randrange(3)
    for n in range(random.randrange(40)):
        at = MONDAY + random.randrange(100) * HOUR
        (line,) = lines(worked("A").named(f"f{n}").on(at).recorded_at(at + random.randrange(20) * DAY))
        found.append(random.choice((line, line.replace(b'"recordedtime":"', b'"recordedtime" : "'))))
    if random.random() < 0.3:
        found += lines(tick("2026-07-01T00:00:00Z"))
    random.shuffle(found)
    return found


def latest(records: list[One], before: datetime | None) -> datetime | None:
    facts = [one for one in map(READER.read, records) if isinstance(one, Recorded)]
    return max([one.recorded_at for one in facts] + ([before] if before else []), default=None)


@pytest.mark.parametrize("seed", range(60))
def test_the_watermark_is_that_of_the_latest_record_that_is_a_fact(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    monkeypatch.setattr(gathered, "LATEST", random.choice((1, 3, 256)))
    records = [One(n, value) for n, value in enumerate(told(random, ODD if seed % 2 else ODD[:1]))]
    before = random.choice((None, MONDAY, MONDAY + 15 * DAY))
    some = Gathered(1_000, 1_000_000)
    for start in range(0, len(records), 7):
        some.add(records[start : start + 7])
        if random.random() < 0.2:
            some.put_aside(READER)
    if random.random() < 0.7:
        some.complete(READER)

    found = some.watermark(READER, before)
    some.close()

    assert found == latest(records, before)


def test_a_time_is_told_only_where_nothing_else_could_be_meant() -> None:
    for text in (b"2026-03-02T10:00:00.5+01:00", b"2026-03-02t09:00:00.500z", b"2026-03-02T09:00:00.500000Z"):
        assert stated_time(b'{"recordedtime":"%s"}' % text).startswith(b"2026-03-02T09:00:00.5")  # type: ignore[union-attr]
    for value in (*ODD[2:], b'{"recordedtime":"yesterday"}', b'{"recordedtime": "2026-03-02T10:00:00+01:00"}', b"{}"):
        assert not (stated_time(value) or b"").startswith(b"2026")
    assert stated_time(ODD[3]) is None


def test_times_as_bytes_are_in_the_order_of_time() -> None:
    random = Random(5)
    shapes = (
        "{:%Y-%m-%dT%H:%M:%S}Z",
        "{:%Y-%m-%dT%H:%M:%S.%f}Z",
        "{:%Y-%m-%dT%H:%M:%S.%f}+00:00",
        "{:%Y-%m-%d %H:%M:%S}+00:00",
    )
    told = []
    for _ in range(500):
        text = random.choice(shapes).format(
            MONDAY + timedelta(microseconds=random.choice((0, 1, 500_000, random.randrange(10**7))))
        )
        told.append((instant(text), stated_time(f'{{"recordedtime":"{text}"}}'.encode())))
    for one, first in told:
        for other, second in told:
            assert first < second or one >= other  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(40))
def test_what_does_not_fit_into_memory_is_shared_out_like_what_does(seed: int) -> None:
    random = Random(seed)
    keys = (*(f"default|p{n}".encode() for n in range(9)), None, b"nobody")
    facts = lines(
        *(worked("A").named(f"f{n}").of(f"p{random.randrange(9)}") for n in range(120)), tick("2026-07-01T00:00:00Z")
    )
    records = [One(n, random.choice((raw, raw, raw, b"no fact")), random.choice(keys)) for n, raw in enumerate(facts)]
    renamed = random.choice(({}, {("default", "p1"): "p2", ("default", "p3"): "p2", ("default", "p4"): "elsewhere"}))
    found = []
    for most in (1_000, random.randrange(1, 40)):
        some = Gathered(most, 1_000_000)
        for start in range(0, len(records), 5):
            some.add(records[start : start + 5])
            if some.is_full:
                some.put_aside(READER)
        some.complete(READER)
        assert set(some.keys) >= {key for key in keys if key and b"|" in key and any(one.key == key for one in records)}
        assert bool(some.spilled.files) == (most < 1_000)
        theirs = {
            person: [(raw.offset, raw.key, raw.value) for raw in listed] for person, listed in some.shared_out(renamed)
        }
        found.append((theirs, [one.record.offset for one in some.parked], some.end, some.records))
        some.close()

    assert found[0] == found[1]
    assert all(listed == sorted(listed) for listed in found[0][0].values())


def test_it_is_full_by_records_or_by_bytes() -> None:
    by_count, by_size = Gathered(2, 1_000), Gathered(1_000, 2)
    for some in (by_count, by_size):
        some.add([One(0, b"{}")])
    assert not by_count.is_full
    assert by_size.is_full
    by_count.add([One(1, b"{}")])
    assert by_count.is_full
    assert (by_count.end, by_count.records) == (2, 2)


def test_no_fact_was_recorded_more_than_five_minutes_after_the_log_took_it_whatever_was_read_before() -> None:
    random, reader = Random(5), Reader(Policy(), 1)
    for n in range(2_000):
        appended = HOUR + timedelta(milliseconds=random.randrange(0, 3_600_000))
        late = random.choice((-3_600, 0, 299, 300, 301, 3_600))
        fact = worked("A").named(f"f{n}").on(MONDAY).recorded_at(MONDAY + appended + timedelta(seconds=late))
        one = reader.read(One(n, lines(fact)[0], timestamp=round((MONDAY + appended).timestamp() * 1000)))

        assert (one.code if isinstance(one, Parked) else "") == ("future" if late > 300 else "")
