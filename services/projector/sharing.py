"""What crosses partitions: merges, facts of persons whose rows another owner keeps, persons to regroup. DESIGN section 4."""

from collections.abc import Sequence

from events.catalogue import decoded
from events.envelope import partition_key
from projections.known import grown
from projections.people import people
from projections.rows import effective_merges
from projections.standing import Touched
from services import tables_people
from services import tables_projector as tables
from services.projector.changes import Person
from services.projector.held import Held
from services.projector.loading import Loading
from services.projector.records import parked_row, refused_by_tables
from services.projector.spilled import Raw
from services.projector.work import Work
from services.tables import BEYOND, Connection

"""Where a fact is parked that another partition left: no log is so long, and every reader of JSON keeps such a number."""


class Sharing(Loading):
    """Folds what other partitions left for the persons of ours, and hands over what is theirs."""

    async def _fold_own(
        self, connection: Connection, work: Work, waiting: Sequence[tables.Waiting], due: Sequence[Person]
    ) -> None:
        persons = {(tenant, person): number for _, number, tenant, person, *_ in waiting}
        persons |= {person: self._home(person) for person in due}
        facts = {number: decoded(raw) for number, *_, raw, _ in waiting if raw is not None}
        subjects = {(fact.tenant, fact.subject) for fact in facts.values()}
        renamed = await tables_people.aliases(connection, self._schema, sorted(subjects))
        await self._load(connection, work, persons)
        if waiting:
            await self._recall_erased(connection, work, list(persons))
        for number, _, tenant, person, raw, conflicting in waiting:
            work.changes.taken.append(number)
            if raw is None:
                await self._regroup(connection, work, work.held[tenant, person])
                continue
            fact = facts[number]
            # whose it is now: on the way, the person it was sent to may have become another's, and its own subject not
            now = (tenant, renamed.get((tenant, fact.subject), fact.subject))
            if now in work.held:
                held = work.held[now]
                watermark = self.ahead[held.partition].watermark
                work.apply(held, fact, watermark or fact.recorded_at)
                if conflicting and fact.identity not in held.file.conflicts:
                    held.file.conflicts = grown(held.file.conflicts, fact.identity)
                    work.changes.conflicting.append((*now, *fact.identity))
            else:
                work.changes.inbox.append((self._home(now), *now, raw, conflicting))
        for held in work.held.values():
            watermark = self.ahead[held.partition].watermark
            if watermark is not None:
                work.advance(held, watermark)
            elif held.newest is not None:  # time has not begun in this partition: nothing can fall due yet
                work.refresh(held)
                work.compare(held, held.newest, None)

    async def _leave_out(
        self, connection: Connection, work: Work, waiting: Sequence[tables.Waiting], due: Sequence[Person], wrong: Exception
    ) -> None:  # fmt: skip
        """What Postgres keeps no rows of: a fact is parked, at an offset `BEYOND` those of the log; a person is set aside."""
        persons = {person: self._home(person) for person in due}
        for name, number, tenant, person, raw, _ in waiting:
            work.changes.taken.append(name)
            if raw is None:
                persons[tenant, person] = number
                continue
            at = decoded(raw).recorded_at
            record = Raw(
                number, BEYOND + name, partition_key(tenant, person).encode(), raw, (), round(at.timestamp() * 1000)
            )
            work.changes.parked.append(parked_row(refused_by_tables(record, wrong)))
        await self._load(connection, work, persons)
        for held in work.held.values():
            held.is_quarantined = True
            work.touched.setdefault(held.person, Touched())
            self._quarantine(held, wrong)

    async def _regroup(self, connection: Connection, work: Work, held: Held) -> None:
        """Some facts of this person have become somebody else's: hand them over, and fold the rest anew."""
        file, person = held.file, held.person
        held.stored.is_sure = False  # whoever asked for it may have taken facts out of the timeline, and not their rows
        subjects = sorted({fact.subject for fact in file.known.values()} | {file.patient})
        renamed = await tables_people.aliases(
            connection, self._schema, [(file.tenant, subject) for subject in subjects]
        )
        leaving = [f for f in file.known.values() if renamed.get((file.tenant, f.subject), f.subject) != file.patient]
        if leaving:
            await tables_people.leave(connection, self._schema, person, leaving)
        for fact in leaving:
            now = (file.tenant, renamed.get((file.tenant, fact.subject), fact.subject))
            work.changes.inbox.append((self._home(now), *now, fact.raw, fact.identity in file.conflicts))
        work.leave(held, leaving)

    async def _merge_people(self, connection: Connection, work: Work) -> None:
        """Judge all merges of a tenant in history order, and have those persons regrouped whose facts have moved."""
        for tenant in sorted(work.remerged):
            await tables_people.lock_merges(connection, tenant)
            raws = await tables_people.corrections(connection, self._schema, tenant)
            who = people(effective_merges(tenant, [decoded(raw) for raw in raws], self._policy))
            now = {subject: who.person(subject) for subject in who.into}
            before = await tables_people.persons(connection, self._schema, tenant)
            await tables_people.set_merge_cycles(connection, self._schema, tenant, who.cycles)
            moved = {subject for subject in now.keys() | before.keys() if now.get(subject) != before.get(subject)}
            if moved:
                await tables_people.set_persons(connection, self._schema, tenant, moved, now)
            for person in sorted({before.get(subject, subject) for subject in moved}):
                work.changes.inbox.append((self._home((tenant, person)), tenant, person, None, False))
