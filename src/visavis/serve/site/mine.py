"""Somebody's own days, by a link: read-only, with a button to object.

Without an account: whoever has the link reads what it is about, and nothing else.
"""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.attendance.objections import object_to, objections_of
from visavis.attendance.view import days_of
from visavis.serve.forms import Multipart, checked
from visavis.serve.refusals import Refusal
from visavis.serve.rest.days import MonthText, month_period
from visavis.serve.rest.dayshapes import CalendarDay
from visavis.serve.service import Service, service_of
from visavis.serve.site.attendance import Desktop, months, sheet_of
from visavis.serve.site.dayrows import RowMaker
from visavis.serve.site.visits import is_foreign, page_language
from visavis.serve.site.visits import page_of as shown_page
from visavis.serve.site.wording import texts_of
from visavis.serve.who.access import needs
from visavis.serve.who.links import OwnLinks

site_mine = APIRouter(prefix="/mine", include_in_schema=False)


class ObjectionForm(BaseModel, extra="forbid"):
    """What is wrong with which day."""

    day: CalendarDay
    words: Annotated[str, Field(min_length=1, max_length=2000)]


OBJECTION_FORM = Multipart(ObjectionForm, photos=0)


def as_page(request: Request) -> None:
    """Errors are pages, too."""
    request.state.page = True


@site_mine.get("/{link}", dependencies=[needs("open"), Depends(as_page)])
def own_page(request: Request, link: str, month: MonthText = "") -> HTMLResponse:
    """The days of whoever has the link."""
    service = service_of(request)
    person = _person(service, link)
    service.note(request, person)
    attendance = service.attendance()
    rows = RowMaker(attendance.directory, texts_of(page_language(request)), datetime.now(UTC))
    desk = Desktop(request, service, attendance, rows)
    period = month_period(attendance, month)
    records = days_of(attendance, period, people=[person])
    sheet = sheet_of(desk, records)
    sheet["rows"] = [replace(row, person="") for row in sheet["rows"]]
    values = {
        "name": attendance.directory.name(person),
        "link": link,
        "zone": attendance.rules.zone,
        "objections": objections_of(attendance, [person]),
        **months(period),
        **sheet,
    }
    return shown_page(request, "mine", values)


@site_mine.post("/{link}", dependencies=[needs("open"), Depends(as_page)])
async def object_here(request: Request, link: str) -> Response:
    """Object to a day: somebody sees it among the exceptions."""
    if is_foreign(request):
        raise Refusal("forbidden", "the form is of another page")
    service = service_of(request)
    person = await service.desk.run(partial(_person, service, link))
    fields = [(name, value) for name, value in await OBJECTION_FORM.fields(request) if value]
    form = checked(ObjectionForm, fields)

    def work() -> None:
        object_to(service.attendance(), person, form.day, form.words)
        service.note(request, person)

    await service.desk.run(work)
    return RedirectResponse(f"/mine/{link}?month={form.day:%Y-%m}", 303)


def _person(service: Service, link: str) -> str:
    """Whose link it is, by the gallery's id. Raises Refusal, 404; also where they were erased."""
    return service.person(OwnLinks(service.gallery).person(link)).id
