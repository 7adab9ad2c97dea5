"""The persons of a batch at hand: from memory, from what is on its way into the tables, else folded from the timeline. DESIGN section 4."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client import CollectorRegistry

from events.catalogue import decoded
from events.envelope import partition_key
from events.partitions import partition_of
from projections.announcing import Announced, Shown
from projections.known import grown
from projections.patient import PatientFile
from services import tables_people
from services import tables_projector as tables
from services.projector.changes import Person, Stored
from services.projector.held import Held, Memory
from services.projector.measures import Measures, Spent
from services.projector.records import Reader
from services.projector.work import Work
from services.tables import Connection, Generation, Pool
from services.tables_projector import Position

FAILURES_A_MINUTE = 20
AT_A_STRETCH = 0.0005
log = structlog.get_logger("parcours.projector")


class BreakerOpened(RuntimeError):
    """The folds of many people fail: this partition stops until somebody has looked. Nothing of the batch is kept."""

    def __init__(self, partition: int, error: str) -> None:
        super().__init__(
            f"{FAILURES_A_MINUTE} patients of partition {partition} could not be folded within a minute ({error})"
        )
        self.partition, self.error = partition, error


class Breath:
    """Lets the loop turn now and then: what is on its way into the tables waits for it, and so do the heartbeats."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    @property
    def is_due(self) -> bool:
        """Whether a stretch of work has been long enough."""
        return time.perf_counter() - self._since > AT_A_STRETCH

    async def taken(self) -> None:
        """Give way, if it is due."""
        if self.is_due:
            await asyncio.sleep(0)
            self._since = time.perf_counter()


@dataclass(slots=True)
class Told:
    """What the tables say of some persons: their timelines, what they were erased of, what was found of them and said. `is_fresh`: they
    hold nobody of these partitions. `overdue`: who is to be folded anew.
    """

    is_fresh: bool
    stored: Mapping[Person, Sequence[tuple[bytes, bool]]]
    buried: Mapping[Person, datetime]
    erased: Mapping[Person, dict[bytes, datetime]]
    seen: Mapping[Person, dict[str, Shown]]
    overdue: AbstractSet[Person]
    said: Mapping[Person, dict[str, Announced]]


class Loading:
    """Whose facts are folded, and where their partitions stand: `positions` as the rows say, `ahead` with what is on its way."""

    def __init__(
        self,
        pool: Pool,
        generation: Generation,
        topic: str,
        reader: Reader,
        memory: Memory,
        owner: str,
        *,
        speaks: bool = True,
    ) -> None:
        self._pool = pool
        self._generation = generation
        self._speaks = speaks
        self._schema = generation.schema
        self._policy = generation.policy
        self._topic = topic
        self._reader = reader
        self._memory = memory
        self._owner = owner
        self.positions: dict[int, Position] = {}
        self.ahead: dict[int, Position] = {}
        self.failures: dict[int, dict[Person, float]] = {}
        self.spent = Spent()
        self.registry = CollectorRegistry()
        self.measures = Measures(self.registry)

    @property
    def memory(self) -> Memory:
        return self._memory

    @property
    def topic(self) -> str:
        """The topic whose records are folded."""
        return self._topic

    def _home(self, person: Person) -> int:
        """The partition whose owner keeps a person's rows."""
        return partition_of(partition_key(*person).encode(), self._reader.partitions)

    def _flying(self, person: Person) -> Held | None:
        """A person whose rows are on their way into the tables: memory has them only once they are there."""
        del person
        return None

    async def _load(
        self, connection: Connection, work: Work, persons: Mapping[Person, int], told: Told | None = None
    ) -> None:
        """Have the files of these persons in the work's hands: `told` is what the tables say of them, if they were asked already."""
        started = time.perf_counter()
        missing = []
        for person in persons:
            held = work.held.get(person) or self._flying(person) or self._memory.get(person)
            if held is None:
                missing.append(person)
            else:
                work.held[person] = held
        if missing:
            found = await self._ask(connection, persons, missing) if told is None else told
            breath = Breath()
            for person in missing:
                work.held[person] = self._held(person, persons[person], found)
                if breath.is_due:
                    await breath.taken()
        self.spent.load += time.perf_counter() - started

    async def _ask(self, connection: Connection, persons: Mapping[Person, int], missing: Sequence[Person]) -> Told:
        """What the tables say of those who are `missing` in memory."""
        fresh = self._is_fresh(persons.values())
        homes = {} if fresh else {person: persons[person] for person in missing}
        stored = await tables.timelines(connection, self._schema, homes) if homes else {}
        known = list(stored)
        buried, digests = await tables_people.what_was_erased(connection, self._schema, missing)
        seen = await tables.shown(connection, self._schema, known) if known else {}
        marks = [self.ahead[persons[person]].watermark for person in known]
        stale = await tables.overdue(connection, self._schema, known, marks) if known else set()
        said = {} if fresh else await tables.said(connection, missing)
        return Told(fresh, stored, buried, digests, seen, stale, said)

    def _held(self, person: Person, number: int, told: Told) -> Held:
        held = self._loaded(person, number, told.stored.get(person, ()), told.buried.get(person))
        held.seen, held.said = told.seen.get(person, {}), told.said.get(person, {})
        held.erased = told.erased.get(person, {})
        held.stored.is_nobody = told.is_fresh
        if not told.is_fresh and person not in told.overdue:
            held.settle()
        if person in told.stored:
            file = held.file
            names = set(file.cases), set(file.claims), set(file.contacts), set(held.seen)
            held.stored = Stored(True, not file.touched.anew, *names)  # noqa: FBT003
        return held

    def _is_fresh(self, numbers: Iterable[int]) -> bool:
        """Whether the tables hold nobody of these partitions, of which they have nothing: but for what was erased elsewhere."""
        return not self._speaks and all([self.positions[number].next_offset == 0 for number in set(numbers)])

    def _loaded(self, person: Person, number: int, rows: Iterable[tuple[bytes, bool]], erased: datetime | None) -> Held:
        file = PatientFile(
            *person, self._policy, watermark=self.ahead[number].watermark, erased_until=erased, buried_until=erased
        )
        held = Held(file, number)
        facts = []
        for raw, conflicting in rows:
            fact = decoded(raw)
            facts.append(fact)
            held.note(fact)
            if conflicting:
                file.conflicts = grown(file.conflicts, fact.identity)
        if facts:
            try:
                file.fill(facts)
            except Exception as wrong:  # noqa: BLE001 - one person's fold must not stop the others
                held.is_quarantined = True
                self._quarantine(held, wrong)
        return held

    async def _recall_erased(self, connection: Connection, work: Work, persons: Sequence[Person]) -> None:
        """What those who have become these persons were erased of: a copy that comes late must not bring it back."""
        digests = await tables_people.erased(connection, self._schema, persons)
        for person, found in digests.items():
            work.held[person].erased |= found

    def _quarantine(self, held: Held, wrong: Exception) -> None:
        """A person's fold raised. Many within a minute are a bad deployment: `BreakerOpened`."""
        log.error("fold failed", partition=held.partition, error=type(wrong).__name__, exc_info=wrong)
        now = time.monotonic()
        lately = self.failures.setdefault(held.partition, {})
        lately[held.person] = now
        for person in [person for person, at in lately.items() if now - at > 60]:
            del lately[person]
        if len(lately) >= FAILURES_A_MINUTE:
            lately.clear()
            raise BreakerOpened(held.partition, type(wrong).__name__)
