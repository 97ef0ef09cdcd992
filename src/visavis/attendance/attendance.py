"""Attendance as one object: whoever saw somebody calls `record`, whoever asks gets days.

Knows the gallery's people, the ledger and the rules. Knows no formats and no pictures.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from visavis.attendance import store
from visavis.attendance.corrections import (
    Claim,
    Correction,
    DayRuling,
    PeriodLock,
    locked_on,
    told_of,
)
from visavis.attendance.courses import open_at
from visavis.attendance.days import Ruling, Status
from visavis.attendance.directory import Directory
from visavis.attendance.ledger import Ledger
from visavis.attendance.plans import Plan, Plans
from visavis.attendance.punches import (
    AFTERWARDS,
    LATE_ARRIVAL,
    LIVE,
    SERVER_CLOCK,
    Fate,
    Punch,
    Recorded,
    Reporter,
    Sighting,
    as_allowed,
    check_reason,
    check_sighting,
    clock_notes,
    directed,
    fate_of,
)
from visavis.attendance.rules import Direction, Rules, check_rules, read_rules, rules_bytes
from visavis.errors import AttendanceError, PersonError, RulesError
from visavis.gallery import Gallery
from visavis.gallery.audit import ChainHead
from visavis.gallery.audit import head as audit_head

RULES = "attendance rules"
TOGETHER = 200  # sightings that one transaction keeps
AROUND = timedelta(days=2)  # punches read before and after a period: of windows that reach out


@dataclass(frozen=True, slots=True)
class Settled:
    """What holds for all of a transaction."""

    now: datetime
    locks: Sequence[PeriodLock]
    went_back: bool  # this machine's own clock, since the last punch


class Attendance:
    """The attendance of a gallery's people. Safe from several threads and processes.

    Every method raises GalleryError where the database is damaged, full, locked or read-only and
    that stands in its way.
    """

    def __init__(self, gallery: Gallery, rules: Rules | None = None) -> None:
        """`rules` in place of those that the gallery keeps.

        Raises RulesError where there are none, or they cannot be read.
        """
        self.gallery, self.ledger = gallery, Ledger(gallery)
        self.rules = rules or kept_rules(gallery)
        self._keeps = rules is None  # whether they change with what the gallery keeps
        self.directory, self._changes = Directory(gallery.people()), self._head()
        self._said: dict[str, datetime] = {}  # the last time that each device said
        self._lock = threading.Lock()

    def record(self, sighting: Sighting, *, now: datetime | None = None) -> Recorded:
        """Keep a sighting as a punch, or as a part of one; when this returns, it is on disk.

        Raises PersonError where nobody or several people are meant, AttendanceError for what no
        punch can be, and for one by hand in a locked period.
        """
        self.ledger.prepare()
        with self.gallery.database.writing() as connection:
            return self.record_within(connection, sighting, self.settled(connection, now))

    def record_all(
        self, sightings: Iterable[Sighting], *, now: datetime | None = None
    ) -> list[Recorded]:
        """As `record`, of many: what cannot be is refused, with why, and the rest goes on."""
        self.ledger.prepare()
        outcomes: list[Recorded] = []
        waiting = list(sightings)
        for start in range(0, len(waiting), TOGETHER):
            with self.gallery.database.writing() as connection:
                state = self.settled(connection, now)
                for sighting in waiting[start : start + TOGETHER]:
                    try:
                        outcomes.append(self.record_within(connection, sighting, state))
                    except (PersonError, AttendanceError) as error:
                        outcomes.append(Recorded(sighting, Fate.REFUSED, message=str(error)))
        return outcomes

    def extend(self, number: int, at: datetime) -> None:
        """Note that whoever punched is still there: `Punch.until`.

        Raises PersonError where the punch is not there any more: its person was erased.
        """
        with self.gallery.database.writing() as connection:
            rows = self.ledger.rows(connection, [store.PUNCH], after=number - 1, up_to=number)
            if not rows:
                raise PersonError(f"there is no punch {number}")
            until = self.ledger.seen(connection, [number]).get(number, rows[0].at)
            if at.replace(microsecond=0) > until:
                self.ledger.see(connection, number, rows[0].person or "", at)

    def record_within(self, connection: Connection, sighting: Sighting, state: Settled) -> Recorded:
        """As `record`, within the caller's transaction."""
        check_sighting(sighting)
        person = self._person(sighting.person)
        sighting = as_allowed(directed(sighting, self.rules), self.rules)
        number = self.ledger.number_of(connection, sighting.token(person))
        seconds = max(self.rules.cooldown, self.rules.gap)
        near = store.punches_near(self.ledger, connection, person, sighting.true_at, seconds)
        if number is not None:
            fate: Fate = Fate.REPEATED
            part = next((punch for punch in near if punch.number == number), None)
        else:
            fate, part = fate_of(sighting, near, self.rules)
            number = part.number if part else None
        notes = self._notes(sighting, person, state)
        if fate is not Fate.PUNCH:
            if part is not None and sighting.true_at > part.until:
                self.ledger.see(connection, part.number, person, sighting.true_at)
            return Recorded(sighting, fate, number, tuple(notes))
        zone = self.rules.device_zone(sighting.device)
        entry = store.punch_entry(sighting, person, zone, state.now, notes)
        number = self.ledger.append(connection, entry)
        if sighting.evidence is not None:
            body = asdict(replace(sighting.evidence, crop=None))
            crop = sighting.evidence.crop
            self.ledger.keep_evidence(connection, number, person, body, crop)
        return Recorded(sighting, fate, number, tuple(notes))

    def _notes(self, sighting: Sighting, person: str, state: Settled) -> list[str]:
        """What is odd about a sighting's time. Raises AttendanceError for a hand in a lock."""
        before = None
        if sighting.source not in AFTERWARDS:
            with self._lock:
                before = self._said.get(sighting.device)
                self._said[sighting.device] = sighting.at
        notes = clock_notes(sighting, state.now, self.rules, before=before)
        if sighting.source in LIVE and state.went_back:
            notes.append(SERVER_CLOCK)
        day = self.day_of(person, sighting.true_at) if state.locks else date.min
        if locked_on(day, state.locks):
            if sighting.source is Reporter.HAND:
                raise _is_locked(day)
            notes.append(LATE_ARRIVAL)
        return notes

    def settled(self, connection: Connection, now: datetime | None = None) -> Settled:
        """What holds for all of a transaction that writes."""
        self.catch_up(connection)
        now = now or datetime.now(UTC)
        last = self.ledger.head(connection).seq
        rows = self.ledger.rows(connection, [store.PUNCH], after=last - 1)
        patience = timedelta(seconds=self.rules.clock_tolerance)
        went_back = any(now < store.punch_of(row).received - patience for row in rows)
        return Settled(now, store.locks_in(self.ledger, connection), went_back)

    def evidence(self, punch: int) -> tuple[dict[str, Any], bytes | None]:
        """What a punch is believed for, and its crop. Raises AttendanceError: it was altered."""
        with self.gallery.database.reading() as connection:
            return self.ledger.evidence(connection, punch)

    def punch(self, number: int) -> Punch:
        """A punch by its number. Raises AttendanceError where there is none."""
        with self.gallery.database.reading() as connection:
            return self._punch(connection, number)

    def move(
        self,
        number: int,
        *,
        actor: str,
        reason: str,
        at: datetime | None = None,
        direction: Direction | None = None,
    ) -> Correction:
        """Say that a punch was at another time, or the other way: a row above it, with why.

        Raises AttendanceError where there is none, and where its day or the new one is locked.
        """

        def moved(told: Claim) -> Claim:
            moment = at.astimezone(UTC).replace(microsecond=0) if at else told.at
            return Claim(moment, direction or told.direction)

        return self._correct(number, actor, reason, moved)

    def void(self, number: int, *, actor: str, reason: str) -> Correction:
        """Say that a punch does not count. Raises as `move`."""
        return self._correct(number, actor, reason, lambda told: None)

    def _correct(
        self, number: int, actor: str, reason: str, change: Callable[[Claim], Claim | None]
    ) -> Correction:
        check_reason(actor, reason)
        with self.gallery.database.writing() as connection:
            punch = self._punch(connection, number)
            made = store.corrections_in(self.ledger, connection)
            before = Claim(punch.at, punch.direction)
            # What was voided comes back by a correction that says when it was.
            now_told = told_of(punch, {one.punch: one for one in made}) or before
            after = change(now_told)
            moments = {punch.at, now_told.at, *([after.at] if after else [])}
            self._refuse_locked(connection, punch.person, moments)
            entry = store.correction_entry(punch, now_told, after, actor, reason)
            self.ledger.append(connection, entry)
            return store.corrections_in(self.ledger, connection)[-1]

    def rule(
        self, who: str, day: date, status: Status | None, *, actor: str, reason: str
    ) -> DayRuling:
        """Say what somebody's day was, whatever its punches are; None takes that back.

        Raises PersonError, and AttendanceError where the day is locked.
        """
        check_reason(actor, reason)
        self.ledger.prepare()
        with self.gallery.database.writing() as connection:
            state = self.settled(connection)
            person = self._person(who)
            if locked_on(day, state.locks):
                raise _is_locked(day)
            made = store.rulings_in(self.ledger, connection)
            own = [one.after for one in made if (one.person, one.day) == (person, day)]
            after = Ruling(status, reason) if status else None
            before = own[-1] if own else None
            entry = store.ruling_entry(person, day, before, after, actor)
            self.ledger.append(connection, entry)
            return store.rulings_in(self.ledger, connection)[-1]

    def lock(
        self, since: date, until: date, *, actor: str, reason: str, locked: bool = True
    ) -> PeriodLock:
        """Lock a period, both ends included: nothing in it is corrected, and what comes late does
        not count; or with `locked` False, open it again.
        """
        check_reason(actor, reason)
        if since > until:
            raise AttendanceError(f"expected a period, got {since} to {until}")
        self.ledger.prepare()
        with self.gallery.database.writing() as connection:
            entry = store.lock_entry(locked, (since, until), actor, reason)
            self.ledger.append(connection, entry)
            return store.locks_in(self.ledger, connection)[-1]

    def plans(self, first: date, last: date) -> dict[str, Plan]:
        """What is due, by the gallery's ids: of everybody whom the rules name and who is here."""
        plans = Plans(self.rules, first, last)
        ids, _ = self.directory.named(self.rules.everybody())
        return {person: plans.of(name) for person, name in ids.items()}

    def expected(self, at: datetime) -> list[str]:
        """Whose shift or class has its window now, by the gallery's ids: whom a camera looks for
        first.
        """
        with self.gallery.database.reading() as connection:
            self.catch_up(connection)
        plans = self.plans(at.date(), at.date())
        due = [person for person, plan in plans.items() if plan.span_at(at) is not None]
        rosters = (self.rules.members(course) for course in open_at(self.rules, at))
        taught, _ = self.directory.named(name for roster in rosters for name in roster)
        return list(dict.fromkeys((*due, *taught)))

    def day_of(self, person: str, at: datetime) -> date:
        """The day that a punch of a person, by the gallery's id, belongs to."""
        day = at.date()
        ids, _ = self.directory.named(self.rules.everybody())
        plans = Plans(self.rules, day - AROUND, day + AROUND)
        return plans.of(ids.get(person, "")).day_at(at)

    def _person(self, who: str) -> str:
        """Raises PersonError."""
        return self.directory.find(who).id

    def catch_up(self, connection: Connection) -> None:
        """Hear of people who were enrolled, renamed or merged since, and of rules that are kept."""
        if audit_head(connection) != self._changes:
            self.rules = kept_rules(self.gallery) if self._keeps else self.rules
            self.directory, self._changes = Directory(self.gallery.people()), self._head()

    def _head(self) -> ChainHead:
        with self.gallery.database.reading() as connection:
            return audit_head(connection)

    def _punch(self, connection: Connection, number: int) -> Punch:
        rows = self.ledger.rows(connection, [store.PUNCH], after=number - 1, up_to=number)
        if not rows:
            raise AttendanceError(f"there is no punch {number}")
        return store.punch_of(rows[0])

    def _refuse_locked(
        self, connection: Connection, person: str, moments: Iterable[datetime]
    ) -> None:
        locks = store.locks_in(self.ledger, connection)
        for moment in moments if locks else ():
            day = self.day_of(person, moment)
            if locked_on(day, locks):
                raise _is_locked(day)


def kept_rules(gallery: Gallery) -> Rules:
    """The rules that a gallery keeps. Raises RulesError for none."""
    kept = gallery.kept(RULES)
    if kept is None:
        raise RulesError(
            f"{gallery.where}: no rules of attendance are kept here",
            mend="visavis attendance rules FILE keeps them",
        )
    return read_rules(kept, f"{gallery.where}: {RULES}")


def keep_rules(gallery: Gallery, rules: Rules) -> Sequence[str]:
    """Keep rules with the gallery, sealed, in place of earlier ones; whom they name and who is not
    here.

    Raises RulesError where they contradict each other, or name somebody whom two people are.
    """
    check_rules(rules)
    _, unknown = Directory(gallery.people()).named(rules.everybody())
    gallery.keep(RULES, rules_bytes(rules))
    return unknown


def _is_locked(day: date) -> AttendanceError:
    return AttendanceError(
        f"{day} is in a locked period", mend="open the period first, with a reason"
    )
