"""Routes that read attendance: days, who is inside, classes, changes, a month as a file."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from visavis.answers.attendance import (
    classes_json,
    correction_json,
    days_json,
    inside_json,
    lock_json,
    ruling_json,
)
from visavis.answers.objections import punch_json
from visavis.attendance import store
from visavis.attendance.attendance import Attendance
from visavis.attendance.changes import said_afterwards
from visavis.attendance.corrections import told_of
from visavis.attendance.days import DayRecord
from visavis.attendance.moments import day_of, month_of, utc_text, zone_named
from visavis.attendance.reports import late_records, odd_records
from visavis.attendance.transfer import export_period
from visavis.attendance.view import classes_of, days_of, held_in, inside_of
from visavis.attendance.whole import ledger_damages, ledger_head
from visavis.errors import AttendanceError
from visavis.gallery.audit import ChainHead
from visavis.serve.rest.dayshapes import (
    CalendarDay,
    ChainShape,
    ChangesShape,
    ClassesShape,
    DaysShape,
    HeardShape,
    InsideShape,
    LocksShape,
    PunchRecordsShape,
)
from visavis.serve.rest.routes import told
from visavis.serve.service import service_of
from visavis.serve.who.access import needs

days = APIRouter(prefix="/v1/attendance", tags=["attendance"])

MOST_DAYS = 366  # of one question
HEAD_FORM = r"^[0-9]{1,15}-[0-9a-f]{64}$"
ExportFormat = Literal[
    "attlog", "frappe", "hikvision", "odoo", "zoho", "hibob", "csv", "json", "xlsx", "days"
]
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Of each format the type of its bytes, and how its file ends.
FILES: dict[str, tuple[str, str]] = {
    "attlog": ("text/plain; charset=utf-8", "dat"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "days": ("text/csv; charset=utf-8", "csv"),
    "xlsx": (SHEET, "xlsx"),
}
AS_JSON = ("application/json", "json")
DayQuery = Annotated[CalendarDay | None, Query(description="without it, today")]
MonthText = Annotated[
    str, Query(max_length=10, description="as 2026-03; without it, this one", examples=["2026-03"])
]
PersonText = Annotated[
    str | None, Query(max_length=200, description="by id, by your own id, or by name")
]
DayReport = Callable[[Iterable[DayRecord]], list[DayRecord]]


@days.get("/today", dependencies=[needs("viewer")], responses={**told(DaysShape, "invalid")})
def show_today(request: Request, day: DayQuery = None) -> JSONResponse:
    """Everybody's day: who came when, who is late, who is missing."""
    attendance = service_of(request).attendance()
    chosen = day or today_of(attendance)
    return _days(request, attendance, (chosen, chosen))


@days.get("/days", dependencies=[needs("viewer")], responses={**told(DaysShape, "invalid")})
def show_days(
    request: Request, since: CalendarDay, until: CalendarDay, person: PersonText = None
) -> JSONResponse:
    """The days of a period of at most a year, both ends included; of one person or of everybody."""
    period = period_of(since, until)
    return _days(request, service_of(request).attendance(), period, person)


@days.get("/month", dependencies=[needs("viewer")], responses={**told(DaysShape, "invalid")})
def show_month(request: Request, month: MonthText = "", person: PersonText = None) -> JSONResponse:
    """The days of a month; with `person`, one person's timesheet."""
    attendance = service_of(request).attendance()
    return _days(request, attendance, month_period(attendance, month), person)


@days.get("/late", dependencies=[needs("viewer")], responses={**told(DaysShape, "invalid")})
def show_late(request: Request, month: MonthText = "") -> JSONResponse:
    """Who came late in a month, the latest first."""
    attendance = service_of(request).attendance()
    return _days(request, attendance, month_period(attendance, month), report=late_records)


@days.get("/exceptions", dependencies=[needs("viewer")], responses={**told(DaysShape, "invalid")})
def show_exceptions(request: Request, month: MonthText = "") -> JSONResponse:
    """A month's days to look at: open, closed by rule, corrected, with a clock that lies."""
    attendance = service_of(request).attendance()
    return _days(request, attendance, month_period(attendance, month), report=odd_records)


@days.get("/inside", dependencies=[needs("viewer")], responses={**told(InsideShape, "invalid")})
def show_inside(request: Request) -> JSONResponse:
    """Who is in the building now."""
    service = service_of(request)
    attendance = service.attendance()
    service.note(request)
    return JSONResponse(inside_json(inside_of(attendance), attendance.directory))


@days.get("/classes", dependencies=[needs("viewer")], responses={**told(ClassesShape, "invalid")})
def show_classes(request: Request, day: DayQuery = None) -> JSONResponse:
    """A day's classes: who of each roster is there, late, gone or absent."""
    service = service_of(request)
    attendance = service.attendance()
    service.note(request)
    chosen = day or today_of(attendance)
    return JSONResponse(classes_json(classes_of(attendance, chosen), attendance.directory))


@days.get(
    "/punches", dependencies=[needs("viewer")], responses={**told(PunchRecordsShape, "invalid")}
)
def show_punches(
    request: Request, month: MonthText = "", person: PersonText = None
) -> JSONResponse:
    """A month's punches by the wall of the rules' zone, each with what it says now: of everybody,
    or of one person.
    """
    service = service_of(request)
    attendance = service.attendance()
    one = attendance.directory.find(person).id if person else None
    service.note(request, one)
    first, last = month_period(attendance, month)
    held = held_in(attendance, (first, last), [one] if one else None)
    corrected = {change.punch: change for change in held.corrections}
    zone = zone_named(attendance.rules.zone)
    listed = [
        punch_json(punch, told_of(punch, corrected), attendance.directory)
        for punch in held.punches
        if first <= day_of(punch.at, zone) <= last
    ]
    return JSONResponse({"punches": listed})


@days.get(
    "/corrections", dependencies=[needs("viewer")], responses={**told(ChangesShape, "invalid")}
)
def show_corrections(request: Request, month: MonthText = "") -> JSONResponse:
    """What was corrected of a month's punches, and ruled on its days: who, why, before, after."""
    service = service_of(request)
    attendance = service.attendance()
    service.note(request)
    said = said_afterwards(attendance, month_period(attendance, month))
    directory = attendance.directory
    return JSONResponse(
        {
            "corrections": [correction_json(one, directory) for one in said.corrections],
            "rulings": [ruling_json(one, directory) for one in said.rulings],
        }
    )


@days.get("/locks", dependencies=[needs("viewer")], responses={**told(LocksShape, "invalid")})
def show_locks(request: Request) -> JSONResponse:
    """Every period that was locked or opened, in that order: of two on a day the later holds."""
    attendance = service_of(request).attendance()
    with attendance.gallery.database.reading() as connection:
        locks = store.locks_in(attendance.ledger, connection)
    return JSONResponse({"locks": [lock_json(one) for one in locks]})


@days.get(
    "/export",
    dependencies=[needs("viewer")],
    response_class=Response,
    responses={
        **told(DaysShape, "invalid"),
        200: {
            "description": "the file",
            "content": {kind: {} for kind in (SHEET, "application/json", "text/csv", "text/plain")},
        },
    },
)
def export_month(
    request: Request,
    form: Annotated[ExportFormat, Query(alias="format")] = "csv",
    month: MonthText = "",
    bom: Annotated[bool, Query(description="of CSV: as Excel wants UTF-8")] = False,
) -> Response:
    """A month in the format of a terminal, a payroll or a spreadsheet, as a file."""
    service = service_of(request)
    attendance = service.attendance()
    service.note(request)
    return file_of(attendance, month_period(attendance, month), form, mark=bom)


@days.get("/terminals", dependencies=[needs("viewer")], responses={**told(HeardShape, "invalid")})
def show_terminals(request: Request) -> JSONResponse:
    """What was odd about the pushes of terminals since the service began, the last first."""
    heard = [
        {"at": utc_text(one.at), "serial": one.serial, "words": one.words}
        for one in service_of(request).heard.latest()
    ]
    return JSONResponse({"heard": heard})


@days.get("/check", dependencies=[needs("admin")], responses={**told(ChainShape, "invalid")})
def check_chain(
    request: Request,
    expect_head: Annotated[
        str | None, Query(pattern=HEAD_FORM, description="a head of earlier: is it still there?")
    ] = None,
) -> JSONResponse:
    """Whether every punch and correction is as it was written: reads and opens everything."""
    service = service_of(request)
    ledger = service.attendance().ledger
    service.note(request)
    known = ChainHead.of_text(expect_head) if expect_head else None
    damages = ledger_damages(ledger, known)
    head = None if damages else str(ledger_head(ledger))
    return JSONResponse({"whole": not damages, "damages": damages, "head": head})


def today_of(attendance: Attendance) -> date:
    """The date by the rules' zone."""
    return day_of(datetime.now(UTC), zone_named(attendance.rules.zone))


def month_period(attendance: Attendance, month: str) -> tuple[date, date]:
    """A month as 2026-03; this one where none is said. Raises AttendanceError."""
    return month_of(month or f"{today_of(attendance):%Y-%m}")


def period_of(since: date, until: date) -> tuple[date, date]:
    """A period, both ends included. Raises AttendanceError for one that is none, or too long."""
    if not timedelta() <= until - since < timedelta(days=MOST_DAYS):
        what = f"expected a period of 1 to {MOST_DAYS} days, got {since} to {until}"
        raise AttendanceError(what)
    return since, until


def file_of(
    attendance: Attendance, period: tuple[date, date], form: str, *, mark: bool = False
) -> Response:
    """A period as a file to download."""
    made = export_period(attendance, period, form, mark=mark)
    media, ending = FILES.get(form, AS_JSON)
    name = f"{form}-{period[0]:%Y-%m}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(made.data, media_type=media, headers=headers)


def _days(
    request: Request,
    attendance: Attendance,
    period: tuple[date, date],
    person: str | None = None,
    report: DayReport = list,
) -> JSONResponse:
    service = service_of(request)
    one = attendance.directory.find(person).id if person else None
    service.note(request, one)
    records = days_of(attendance, period, people=[one] if one else None)
    return JSONResponse(days_json(report(records), attendance.directory))
