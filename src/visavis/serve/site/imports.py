"""The pages of imports: a zip of people goes in, and what became of each of its files is shown."""

from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from visavis.serve.jobs import RUNNING, WAITING
from visavis.serve.rest.imports import PAGE_OF_FILES, ImportForm, LayoutName, begin_import
from visavis.serve.service import service_of
from visavis.serve.site.visits import form_of, page_of, seen_by
from visavis.serve.who.access import caller_of

# Before the pages of people: /people/import is nobody's id.
site_imports = APIRouter(prefix="/people/import", include_in_schema=False)

REFRESHED = 2  # seconds, while it goes on


@site_imports.get("", dependencies=[seen_by("operator")])
def show_imports(request: Request) -> HTMLResponse:
    """The form, and the last imports."""
    values = {"jobs": service_of(request).jobs.all(), "layouts": get_args(LayoutName)}
    return page_of(request, "imports", values)


@site_imports.post("", dependencies=[seen_by("operator")])
async def import_zip(
    request: Request, form: Annotated[ImportForm, form_of(ImportForm, photos=1, archive=True)]
) -> Response:
    """Enrol a zip of people, as a job whose page is shown."""
    service, begun = service_of(request), []

    def work() -> None:
        begun.append(begin_import(service, form, caller_of(request).name))
        service.note(request)

    try:
        await service.desk.run(work)
    finally:
        if not begun:  # else the job closes it, at its end
            form.archive.file.close()
    return RedirectResponse(f"/people/import/{begun[0]}", 303)


@site_imports.get("/{job}", dependencies=[seen_by("operator")])
def show_import(
    request: Request, job: str, after: Annotated[int, Query(ge=0, le=1 << 30)] = 0
) -> HTMLResponse:
    """How far an import is, and what became of its files, a page at a time."""
    service = service_of(request)
    shown = service.jobs.one(job)
    files = service.jobs.files(job, PAGE_OF_FILES, after=after)
    service.note(request)
    goes_on = shown["state"] in (WAITING, RUNNING)
    more = files[-1]["number"] if len(files) == PAGE_OF_FILES else 0
    values = {"job": shown, "files": files, "more": more, "goes_on": goes_on}
    answer = page_of(request, "import", values)
    if goes_on:
        answer.headers["Refresh"] = str(REFRESHED)
    return answer
