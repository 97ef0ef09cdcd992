"""The pages of "not this person": what keeping that changes, and keeping it.

Between the two the face's templates are in the page, sealed: the service keeps no photo.
"""

import base64
import binascii
import json
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.gallery.negatives import add_negative, remove_negative
from visavis.rejection import Rejection, rejection_of
from visavis.serve.refusals import Refusal
from visavis.serve.rest.negatives import negative_of
from visavis.serve.rest.photos import FaceNumber, PhotoFields
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import form_of, page_language, page_of, seen_by
from visavis.serve.site.wording import texts_of, written
from visavis.types import Embeddings

site_negatives = APIRouter(prefix="/people/{person}/negatives", include_in_schema=False)

PLACE = "negative to keep"


class NotThemForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """A photo, and which of its faces is not the person."""

    images: PhotoFields
    face: FaceNumber = None


class KeepForm(BaseModel, extra="forbid"):
    """The face that was shown."""

    sealed: Annotated[str, Field(min_length=1, max_length=20_000)]


class ForgetForm(BaseModel, extra="forbid"):
    """A form that is a button."""


@site_negatives.post("", dependencies=[seen_by("operator")])
async def show_effect(
    request: Request, person: str, form: Annotated[NotThemForm, form_of(NotThemForm, photos=1)]
) -> HTMLResponse:
    """What keeping that the face is not the person would change. Nothing is kept yet."""
    service = service_of(request)

    def work() -> Rejection:
        known, photo = service.person(person), service.photo(form.images[0])
        service.note(request, known.id)
        return rejection_of(service.recognizer, service.gallery, known, photo, form.face)

    rejection = await service.desk.run(work)
    texts = texts_of(page_language(request))
    lost = [
        {
            "source": one.source,
            "similarity": written(texts, one.similarity or 0.0, 2),
            "to_face": written(texts, one.negative_similarity, 2),
        }
        for one in rejection.photos
        if one.lost
    ]
    values = {
        "person": rejection.person,
        "similarity": written(texts, rejection.similarity, 2),
        "photos": len(rejection.photos),
        "lost": lost,
        "sealed": _sealed(service, rejection),
    }
    return page_of(request, "notthem", values)


@site_negatives.post("/keep", dependencies=[seen_by("operator")])
async def keep_negative(
    request: Request, person: str, form: Annotated[KeepForm, form_of(KeepForm)]
) -> Response:
    """Keep what was shown."""
    service = service_of(request)

    def work() -> None:
        known = service.person(person)
        add_negative(service.gallery, known.id, _opened(service, known.id, form.sealed))
        service.note(request, known.id)

    await service.desk.run(work)
    return RedirectResponse(f"/people/{person}", 303)


@site_negatives.post("/{negative}/remove", dependencies=[seen_by("operator")])
async def drop_negative(
    request: Request, person: str, negative: str, form: Annotated[ForgetForm, form_of(ForgetForm)]
) -> Response:
    """They may be named by that face again."""
    service = service_of(request)

    def work() -> None:
        remove_negative(service.gallery, negative_of(service, person, negative))
        service.note(request, person)

    await service.desk.run(work)
    return RedirectResponse(f"/people/{person}", 303)


def _sealed(service: Service, rejection: Rejection) -> str:
    """The face's templates for the page, which nobody else can make or read."""
    rows = {
        model: base64.b64encode(row[0].astype(np.float32).tobytes()).decode()
        for model, row in rejection.templates.items()
    }
    gallery = service.gallery
    place = (gallery.id, PLACE, rejection.person.id)
    sealed = gallery.vault.seal(json.dumps(rows).encode(), *place)
    return base64.b64encode(sealed).decode()


def _opened(service: Service, person: str, text: str) -> dict[str, Embeddings]:
    gallery = service.gallery
    try:
        sealed = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        sealed = b""
    opened = gallery.vault.open(sealed, gallery.id, PLACE, person)
    if opened is None:
        raise Refusal("invalid", "sealed: expected what the page before gave")
    return {
        model: np.frombuffer(base64.b64decode(row), np.float32)[None]
        for model, row in json.loads(opened).items()
    }
