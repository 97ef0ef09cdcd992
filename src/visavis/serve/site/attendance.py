"""The pages that show attendance: today, inside, a month, a person, late, exceptions, changes."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from visavis.attendance import store
from visavis.attendance.attendance import Attendance
from visavis.attendance.changes import said_afterwards
from visavis.attendance.corrections import PeriodLock, told_of
from visavis.attendance.courses import Attended
from visavis.attendance.days import DayRecord, Status
from visavis.attendance.moments import DAY, day_of, days_between, utc_text, wall_text, zone_named
from visavis.attendance.objections import objections_of
from visavis.attendance.reports import hours_of, late_records, matrix_sheet, odd_records
from visavis.attendance.rules import Direction
from visavis.attendance.view import classes_of, days_of, held_in, inside_of
from visavis.errors import RulesError
from visavis.gallery import Person
from visavis.serve.rest.days import (
    DayQuery,
    ExportFormat,
    MonthText,
    file_of,
    month_period,
    today_of,
)
from visavis.serve.service import Service, service_of
from visavis.serve.site.dayrows import DASH, RowMaker, stamp
from visavis.serve.site.plots import columns_of
from visavis.serve.site.visits import page_language, page_of, seen_by
from visavis.serve.site.wording import texts_of

site_attendance = APIRouter(prefix="/attendance", include_in_schema=False)

PAGE_OF_ROWS = 100
THERE = frozenset((Status.PRESENT, Status.HALF, Status.OPEN))
RULED = ("present", "half", "absent", "holiday", "leave", "off", "as-punched")
PageNumber = Annotated[int, Query(ge=1, le=10_000)]


@dataclass(frozen=True, slots=True)
class Desktop:
    """What all pages of attendance begin with."""

    request: Request
    service: Service
    attendance: Attendance
    rows: RowMaker

    def shown(
        self, view: str, values: dict[str, Any] | None = None, *, status: int = 200
    ) -> HTMLResponse:
        """The page with one of the views."""
        zone = self.attendance.rules.zone
        shared = {"view": view, "zone": zone, "directions": list(Direction), "ruled": RULED}
        return page_of(self.request, "attendance", {**shared, **(values or {})}, status=status)


def desktop(request: Request, *, person: str | None = None) -> Desktop:
    """What is needed to show a page; that it was asked for is noted. Raises RulesError."""
    service = service_of(request)
    attendance = service.attendance()
    service.note(request, person)
    rows = RowMaker(attendance.directory, texts_of(page_language(request)), datetime.now(UTC))
    return Desktop(request, service, attendance, rows)


@site_attendance.get("", dependencies=[seen_by("viewer")])
def today_page(request: Request, day: DayQuery = None, page: PageNumber = 1) -> HTMLResponse:
    """Everybody's day."""
    try:
        desk = desktop(request)
    except RulesError:
        return page_of(request, "attendance", {"view": "norules"})
    chosen = day or today_of(desk.attendance)
    records = days_of(desk.attendance, (chosen, chosen))
    counts = {kind: sum(one.status is kind for one in records) for kind in Status}
    texts = desk.rows.texts["attendance"]["statuses"]
    shown, more = paged(records, page)
    values = {
        "day": chosen,
        "before": chosen - DAY,
        "after": chosen + DAY,
        "rows": desk.rows.days(shown),
        "counts": [(texts[kind], number, kind) for kind, number in counts.items() if number],
        "more": more,
    }
    return desk.shown("today", values)


@site_attendance.get("/inside", dependencies=[seen_by("viewer")])
def inside_page(request: Request) -> HTMLResponse:
    """Who is in the building now."""
    desk = desktop(request)
    zone, directory = zone_named(desk.attendance.rules.zone), desk.attendance.directory
    here = [
        {
            "person": one.person,
            "name": directory.name(one.person),
            "since": wall_text(one.since, zone),
            "seen": wall_text(one.seen, zone),
            "device": one.device,
        }
        for one in inside_of(desk.attendance)
    ]
    return desk.shown("inside", {"here": here})


@site_attendance.get("/classes", dependencies=[seen_by("viewer")])
def classes_page(request: Request, day: DayQuery = None) -> HTMLResponse:
    """A day's classes, each with its roster."""
    desk = desktop(request)
    chosen = day or today_of(desk.attendance)
    classes = []
    for meeting, attendees in classes_of(desk.attendance, chosen):
        zone = zone_named(desk.attendance.rules.zone_of(meeting.rule.site))
        counts = Counter(one.status for one in attendees)
        classes.append(
            {
                "course": meeting.course,
                "when": f"{wall_text(meeting.start, zone)}{DASH}{wall_text(meeting.end, zone)}",
                "rule": meeting.rule,
                "counts": [(kind, counts[kind]) for kind in Attended if counts[kind]],
                "roster": [desk.rows.attendee(one, zone) for one in attendees],
            }
        )
    near = {"day": chosen, "before": chosen - DAY, "after": chosen + DAY}
    return desk.shown("classes", {**near, "classes": classes})


@site_attendance.get("/month", dependencies=[seen_by("viewer")])
def month_page(request: Request, month: MonthText = "", page: PageNumber = 1) -> HTMLResponse:
    """A month as a matrix, with how many were there on each day."""
    desk = desktop(request)
    period = month_period(desk.attendance, month)
    records = days_of(desk.attendance, period)
    directory, days = desk.attendance.directory, days_between(*period)
    people = sorted({one.person for one in records}, key=lambda one: (directory.name(one), one))
    shown, more = paged(people, page)
    own = [one for one in records if one.person in set(shown)]
    sheet = matrix_sheet(f"{period[0]:%Y-%m}", own, directory, period)
    there = [sum(one.day == day and one.status in THERE for one in records) for day in days]
    titles = [f"{day}: {number}" for day, number in zip(days, there, strict=True)]
    kinds = [name for name in sheet.columns[2 + len(days) :] if name not in ("late", "hours")]
    texts = desk.rows.texts["attendance"]
    values = {
        **months(period),
        "days": days,
        "kinds": [texts["statuses"][kind] for kind in kinds],
        "rows": [(person, row) for person, row in zip(shown, sheet.rows, strict=True)],
        "totals": sheet.totals if len(shown) == len(people) else (),
        "bars": columns_of(there, titles),
        "more": more,
    }
    return desk.shown("month", values)


@site_attendance.get("/people/{person}", dependencies=[seen_by("viewer")])
def show_timesheet(request: Request, person: str, month: MonthText = "") -> HTMLResponse:
    """One person's month: days, punches, and for an operator the ways to mend them."""
    return timesheet(request, service_of(request).person(person), month)


def timesheet(request: Request, known: Person, month: str, link: str = "") -> HTMLResponse:
    """The page of one person's month; with a link to their own page that was made now."""
    desk = desktop(request, person=known.id)
    period = month_period(desk.attendance, month)
    records = days_of(desk.attendance, period, people=[known.id])
    values = {"person": known, "link": link, **months(period), **sheet_of(desk, records)}
    return desk.shown("person", values)


def sheet_of(desk: Desktop, records: list[DayRecord]) -> dict[str, Any]:
    """One person's days with their sum, their hours as columns, and the punches behind them."""
    hours: dict[date, float] = {}
    for one in records:
        hours[one.day] = hours.get(one.day, 0.0) + hours_of(one.worked)
    worked = sum((one.worked for one in records), timedelta())
    titles = [f"{day}: {value:g}" for day, value in hours.items()]
    return {
        "rows": [one for one in desk.rows.days(records) if one.kind != "off" or one.punches],
        "total": f"{hours_of(worked):g}",
        "bars": columns_of(list(hours.values()), titles),
        "punches": _punches(desk, records),
    }


def _punches(desk: Desktop, records: list[DayRecord]) -> list[dict[str, Any]]:
    """The punches of one person's days, as they came and as they count."""
    if not records:
        return []
    own = {number for record in records for number in record.punches}
    period = (records[0].day, records[-1].day)
    held = held_in(desk.attendance, period, [records[0].person])
    corrected = {one.punch: one for one in held.corrections}
    told = [(punch, told_of(punch, corrected)) for punch in held.punches]
    return [
        desk.rows.punch(punch, now)
        for punch, now in told
        # What does not count is in no day, and is shown on the one that it was made on.
        if punch.number in own
        or (now is None and period[0] <= day_of(punch.at, zone_named(punch.zone)) <= period[1])
    ]


@site_attendance.get("/late", dependencies=[seen_by("viewer")])
def late_page(request: Request, month: MonthText = "", page: PageNumber = 1) -> HTMLResponse:
    """Who came late in a month, the latest first."""
    return _report(request, "late", (month, page), late_records)


@site_attendance.get("/exceptions", dependencies=[seen_by("viewer")])
def exceptions_page(request: Request, month: MonthText = "", page: PageNumber = 1) -> HTMLResponse:
    """A month's days to look at, what people object to, and what terminals said."""
    heard = [(utc_text(one.at), one.serial, one.words) for one in
             service_of(request).heard.latest()]  # fmt: skip
    attendance = service_of(request).attendance()
    objections = [
        (one, attendance.directory.name(one.person))
        for one in objections_of(attendance)
        if one.is_open
    ]
    values = {"heard": heard, "objections": objections}
    return _report(request, "exceptions", (month, page), odd_records, values)


@site_attendance.get("/corrections", dependencies=[seen_by("viewer")])
def show_changes(request: Request, month: MonthText = "") -> HTMLResponse:
    """What was corrected and ruled of a month: who, why, before and after."""
    desk = desktop(request)
    period = month_period(desk.attendance, month)
    said, zone = said_afterwards(desk.attendance, period), zone_named(desk.attendance.rules.zone)
    texts = desk.rows.texts["attendance"]
    rulings = [
        {
            "person": one.person,
            "name": desk.attendance.directory.name(one.person),
            "day": one.day,
            "made": stamp(one.made, zone),
            "before": texts["statuses"][one.before.status] if one.before else texts["aspunched"],
            "after": texts["statuses"][one.after.status] if one.after else texts["aspunched"],
            "actor": one.actor,
            "reason": one.after.reason if one.after else "",
        }
        for one in said.rulings
    ]
    corrections = [desk.rows.correction(one, zone) for one in said.corrections]
    values = {**months(period), "corrections": corrections, "rulings": rulings}
    return desk.shown("corrections", values)


@site_attendance.get("/locks", dependencies=[seen_by("viewer")])
def locks_page(request: Request) -> HTMLResponse:
    """Every period that was locked or opened, the last first."""
    desk = desktop(request)
    with desk.attendance.gallery.database.reading() as connection:
        locks: list[PeriodLock] = store.locks_in(desk.attendance.ledger, connection)
    zone = zone_named(desk.attendance.rules.zone)
    rows = [(one, stamp(one.made, zone)) for one in reversed(locks)]
    return desk.shown("locks", {"locks": rows})


@site_attendance.get("/export", dependencies=[seen_by("viewer")])
def download_month(
    request: Request,
    form: Annotated[ExportFormat, Query(alias="format")] = "days",
    month: MonthText = "",
) -> Response:
    """A month as a file: CSV as Excel wants it, or a workbook."""
    desk = desktop(request)
    return file_of(desk.attendance, month_period(desk.attendance, month), form, mark=True)


def months(period: tuple[date, date]) -> dict[str, Any]:
    """A month and its neighbours, as pages link to them."""
    first, last = period
    return {
        "month": f"{first:%Y-%m}",
        "before": f"{first - DAY:%Y-%m}",
        "after": f"{last + DAY:%Y-%m}",
    }


def paged(rows: list[Any], page: int) -> tuple[list[Any], int | None]:
    """The rows of a page, and the next page's number where there is one."""
    start = (page - 1) * PAGE_OF_ROWS
    more = page + 1 if len(rows) > start + PAGE_OF_ROWS else None
    return rows[start : start + PAGE_OF_ROWS], more


def _report(
    request: Request,
    view: str,
    asked: tuple[str, int],
    report: Callable[[Iterable[DayRecord]], list[DayRecord]],
    values: dict[str, Any] | None = None,
) -> HTMLResponse:
    desk = desktop(request)
    period = month_period(desk.attendance, asked[0])
    shown, more = paged(report(days_of(desk.attendance, period)), asked[1])
    rows = desk.rows.days(shown)
    return desk.shown(view, {**months(period), "rows": rows, "more": more, **(values or {})})
