"""The pages about people: the list, one person, photos in and out, a deletion with its proof."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.answers.people import sample_json
from visavis.gallery.groups import add_to_group, remove_from_group
from visavis.gallery.merging import last_merge, merge_people, merges_of, unmerge
from visavis.gallery.negatives import negatives_of
from visavis.gallery.paging import people_page
from visavis.gallery.proof import erase_with_proof
from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.once import WriteAnswer
from visavis.serve.refusals import Refusal
from visavis.serve.rest.people import (
    PAGE,
    EnrollForm,
    SamplesForm,
    ShortText,
    cursor_of,
    enrolled_answer,
    place_of,
)
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import form_of, page_language, page_of, seen_by
from visavis.serve.site.wording import texts_of

site_people = APIRouter(prefix="/people", include_in_schema=False)


class ButtonForm(BaseModel, extra="forbid"):
    """A form that is a button."""


class RenameForm(BaseModel, extra="forbid"):
    """Another name."""

    name: ShortText


class MergeForm(BaseModel, extra="forbid"):
    """Who else it is, by name or id."""

    other: ShortText


class GroupForm(BaseModel, extra="forbid"):
    """A group, and whether they join or leave it."""

    group: Annotated[str, Field(min_length=1, max_length=100)]
    change: Literal["add", "remove"]


class EraseForm(BaseModel, extra="forbid"):
    """That somebody is sure."""

    sure: Literal["true"]


PHOTOS = SERVE_LIMITS.photos


@site_people.get("", dependencies=[seen_by("viewer")])
def show_people(
    request: Request,
    q: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> HTMLResponse:
    """The people by name, a page at a time."""
    service = service_of(request)
    after = place_of(service, cursor) if cursor else None
    people, more = people_page(service.gallery, PAGE, after=after, like=q)
    service.note(request)
    values = {
        "people": people,
        "q": q,
        "more": more and cursor_of(service, more),
        "consent": service.gallery.requires_consent,
    }
    return page_of(request, "people", values)


@site_people.post("", dependencies=[seen_by("operator")])
async def add_somebody(
    request: Request, form: Annotated[EnrollForm, form_of(EnrollForm, photos=PHOTOS)]
) -> Response:
    """Enrol somebody; what became of each photo."""
    return await _enrol(request, form, lambda: (form.name, form.external_id, form.consent))


@site_people.get("/{person}", dependencies=[seen_by("viewer")])
def show_one(request: Request, person: str) -> HTMLResponse:
    """Somebody with their photos."""
    return _person(request, person)


@site_people.get("/{person}/photos/{sample}.png", dependencies=[seen_by("viewer")])
def show_crop(request: Request, person: str, sample: str) -> Response:
    """The cut-out face of a photo."""
    service = service_of(request)
    crops = [one.crop for one in service.gallery.samples(person) if one.id == sample and one.crop]
    if not crops:
        raise Refusal("not_found", "no picture of this photo was kept")
    service.note(request, person)
    return Response(crops[0], media_type="image/png")


@site_people.post("/{person}/photos", dependencies=[seen_by("operator")])
async def add_photos(
    request: Request,
    person: str,
    form: Annotated[SamplesForm, form_of(SamplesForm, photos=PHOTOS)],
) -> Response:
    """More photos; what became of each."""
    service = service_of(request)

    def who() -> tuple[str, str | None, None]:
        known = service.person(person)
        return known.name, known.external_id, None

    return await _enrol(request, form, who)


@site_people.post("/{person}/photos/{sample}/remove", dependencies=[seen_by("operator")])
async def remove_photo(
    request: Request, person: str, sample: str, form: Annotated[ButtonForm, form_of(ButtonForm)]
) -> Response:
    """Erase a photo of somebody."""

    def work(service: Service) -> None:
        if all(one.id != sample for one in service.gallery.samples(person)):
            raise Refusal("not_found", "this person has no photo of this id")
        service.gallery.remove_photos([sample])

    return await _changed(request, person, work)


@site_people.post("/{person}/rename", dependencies=[seen_by("operator")])
async def rename_person(
    request: Request, person: str, form: Annotated[RenameForm, form_of(RenameForm)]
) -> Response:
    """Give somebody another name."""
    return await _changed(
        request, person, lambda service: service.gallery.rename(person, form.name)
    )


@site_people.post("/{person}/merge", dependencies=[seen_by("operator")])
async def merge_two(
    request: Request, person: str, form: Annotated[MergeForm, form_of(MergeForm)]
) -> Response:
    """Take somebody else's photos: both are one person."""

    def work(service: Service) -> None:
        merge_people(service.gallery, person, service.gallery.find(form.other).id)

    return await _changed(request, person, work)


@site_people.post("/{person}/unmerge", dependencies=[seen_by("operator")])
async def take_merge_back(
    request: Request, person: str, form: Annotated[ButtonForm, form_of(ButtonForm)]
) -> Response:
    """Take the last merge into somebody back."""

    def work(service: Service) -> None:
        unmerge(service.gallery, last_merge(service.gallery, service.person(person)))

    return await _changed(request, person, work)


@site_people.post("/{person}/groups", dependencies=[seen_by("operator")])
async def regroup_person(
    request: Request, person: str, form: Annotated[GroupForm, form_of(GroupForm)]
) -> Response:
    """Let somebody join a group, or leave it."""
    change = add_to_group if form.change == "add" else remove_from_group
    return await _changed(
        request, person, lambda service: change(service.gallery, form.group, [person])
    )


@site_people.post("/{person}/erase", dependencies=[seen_by("admin")])
async def erase_somebody(
    request: Request, person: str, form: Annotated[EraseForm, form_of(EraseForm)]
) -> HTMLResponse:
    """Erase somebody, and show the proof."""
    service = service_of(request)

    def work() -> Any:
        proof = erase_with_proof(service.gallery, service.person(person).id)
        service.note(request)
        return proof

    proof = await service.desk.run(work)
    texts = texts_of(page_language(request))["site"]["proof"]
    said = {True: texts["yes"], False: texts["no"]}
    words = {**asdict(proof), "beyond": "; ".join(proof.beyond)}
    rows = [
        (name, said[value] if isinstance(value, bool) else value) for name, value in words.items()
    ]
    return page_of(request, "erased", {"proof": proof, "rows": rows})


async def _changed(
    request: Request, person: str, change: Callable[[Service], object]
) -> RedirectResponse:
    """Change something of somebody, note who did it, and go back to their page."""
    service = service_of(request)

    def work() -> None:
        service.person(person)
        change(service)
        service.note(request, person)

    await service.desk.run(work)
    return RedirectResponse(f"/people/{person}", 303)


async def _enrol(
    request: Request,
    form: EnrollForm | SamplesForm,
    who: Callable[[], tuple[str, str | None, str | None]],
) -> HTMLResponse:
    service = service_of(request)

    def work() -> WriteAnswer:
        answer = enrolled_answer(service, request, form, who())
        service.note(request, answer.person)
        return answer

    answer = await service.desk.run(work)
    photos = answer.document["photos"]
    if answer.person is None:
        return page_of(request, "refused", {"results": photos}, status=answer.status)
    page = partial(_person, request, answer.person, photos, status=answer.status)
    return await service.desk.run(page)


def _person(request: Request, person: str, results: Any = (), *, status: int = 200) -> HTMLResponse:
    service = service_of(request)
    known = service.person(person)
    reasons = texts_of(page_language(request))["reasons"]
    samples = [
        {
            **sample_json(one),
            "poor": ", ".join(reasons.get(code, code) for code in one.quality.get("reasons", ())),
        }
        for one in service.gallery.samples(known.id)
    ]
    service.note(request, known.id)
    apart = {
        "negatives": negatives_of(service.gallery, known.id),
        "merges": merges_of(service.gallery, known.id),
    }
    values = {"person": known, "samples": samples, "results": results, **apart}
    return page_of(request, "person", values, status=status)
