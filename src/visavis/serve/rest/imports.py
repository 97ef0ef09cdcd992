"""Routes that import many people at once: a zip goes in, and each of its files is reported."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.enrollment import UNREADABLE, Candidate, Enrolled, enroll
from visavis.errors import VisavisError
from visavis.serve.archives import ArchivedPhoto, PhotoArchive
from visavis.serve.forms import Archive, Multipart, plain_name
from visavis.serve.jobs import JobPlan
from visavis.serve.once import WriteAnswer
from visavis.serve.rest.routes import told
from visavis.serve.rest.shapes import JobShape, JobShownShape, JobsShape
from visavis.serve.service import Service, service_of, write_once
from visavis.serve.who.access import caller_of, needs

imports = APIRouter(prefix="/v1", tags=["imports"])

PAGE_OF_FILES = 100
LayoutName = Literal["folders", "parents", "files", "numbered"]


class ImportForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """A zip: a folder for each person, or roster.csv (name, photo, external_id, consent)."""

    archive: Archive
    layout: LayoutName | None = Field(
        None, description="what names the people, where that is not plain"
    )
    keep_crops: bool = False
    anyway: bool = False


IMPORT = Multipart(ImportForm, photos=1, archive=True)


@imports.post(
    "/people:import",
    status_code=202,
    dependencies=[needs("operator")],
    openapi_extra=IMPORT.documented(),
    responses={**told(JobShape, "conflict", form=True, status=202)},
)
async def import_people(
    request: Request, form: Annotated[ImportForm, Depends(IMPORT)]
) -> JSONResponse:
    """Enrol a zip of people, as a job. What is here already is passed over: a zip that was sent
    before may be sent again.
    """
    service, begun = service_of(request), []

    def work() -> WriteAnswer:
        begun.append(begin_import(service, form, caller_of(request).name))
        return WriteAnswer(service.jobs.one(begun[0]), 202)

    try:
        return await service.desk.run(lambda: write_once(request, form, work))
    finally:
        if not begun:  # else the job closes it, at its end
            form.archive.file.close()


@imports.get("/jobs", dependencies=[needs("operator")], responses={**told(JobsShape)})
def list_jobs(request: Request) -> JSONResponse:
    """The last imports, the newest first."""
    return JSONResponse({"jobs": service_of(request).jobs.all()})


@imports.get(
    "/jobs/{job}",
    dependencies=[needs("operator")],
    responses={**told(JobShownShape, "not_found", "invalid")},
)
def show_job(
    request: Request,
    job: str,
    after: Annotated[int, Query(ge=0, le=1 << 30)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE_OF_FILES,
) -> JSONResponse:
    """An import: how far it is, and what became of each file behind number `after`."""
    service = service_of(request)
    shown = service.jobs.one(job)
    service.note(request)
    files = service.jobs.files(job, limit, after=after)
    more = files[-1]["number"] if len(files) == limit else None
    return JSONResponse({**shown, "files": files, "next": more})


def begin_import(service: Service, form: ImportForm, by: str) -> str:
    """The id of the job that enrols a zip, and closes it at its end. Raises DatasetError, Refusal:
    then it is the caller's to close.
    """
    archive = PhotoArchive(form.archive.file, service.limits)
    photos = archive.photos(form.layout)
    work = partial(_enrolled, service, archive, photos, form)
    return service.jobs.begin(JobPlan(len(photos), work, form.archive.file.close), by)


def _enrolled(
    service: Service, archive: PhotoArchive, photos: list[ArchivedPhoto], form: ImportForm
) -> Iterator[tuple[Enrolled, str | None]]:
    """What becomes of each photo, with its person's external id."""
    ids = {(photo.name, plain_name(photo.place)): photo.external_id for photo in photos}
    unread: list[tuple[Enrolled, str | None]] = []

    def candidates() -> Iterator[Candidate]:
        for photo in photos:
            name = plain_name(photo.place)
            try:
                opened = service.decoders.open(archive.read(photo), name, service.limits.photo)
            except VisavisError as error:
                refused = Enrolled(photo.name, name, False, UNREADABLE, str(error))
                unread.append((refused, photo.external_id))
            else:
                yield Candidate(
                    photo.name, opened, photo.external_id, photo.consent, groups=photo.groups
                )

    for one in enroll(
        service.recognizer,
        service.gallery,
        candidates(),
        keep_crops=form.keep_crops,
        anyway=form.anyway,
        workers=service.asked.workers,
    ):
        yield one, ids.get((one.name, one.photo))
    yield from unread
