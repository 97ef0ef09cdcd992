"""The page that says who is in photos: boxes with names, and whom else it might be."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from visavis.decision import NO_RATE
from visavis.errors import VisavisError
from visavis.results import Identification
from visavis.serve.forms import Upload
from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.rest.photos import PhotoFields
from visavis.serve.service import service_of
from visavis.serve.site.looking import poor_words
from visavis.serve.site.verdict import picture_url, shown_error
from visavis.serve.site.visits import form_of, page_language, page_of, seen_by
from visavis.serve.site.wording import texts_of, written

site_identify = APIRouter(prefix="/identify", include_in_schema=False)

LETTERS = 32  # heights of a name on a drawing's longer side


class PhotosForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """Photos to search for."""

    images: PhotoFields


@site_identify.get("", dependencies=[seen_by("viewer")])
def show_identify(request: Request) -> HTMLResponse:
    """The page, without an answer."""
    return page_of(request, "identify", {"photos": [], "consent": False})


@site_identify.post("", dependencies=[seen_by("viewer")])
async def identify_people(
    request: Request,
    form: Annotated[PhotosForm, form_of(PhotosForm, photos=SERVE_LIMITS.photos)],
) -> HTMLResponse:
    """Who is in these photos. Whoever is matched is noted as seen; the photos are not kept."""
    service = service_of(request)
    texts = texts_of(page_language(request))

    def work() -> list[dict[str, Any]]:
        photos = [_one(request, one, texts) for one in form.images]
        service.note(request)
        return photos

    photos = await service.desk.run(work)
    numbered = [{"number": number, **photo} for number, photo in enumerate(photos)]
    consent = service.gallery.requires_consent
    return page_of(request, "identify", {"photos": numbered, "consent": consent})


def face_words(face: Identification, texts: Any) -> dict[str, Any]:
    """Whom a face shows, in words."""
    said, decision = texts["site"]["identify"], face.decision
    title = said["unknown"]
    if face.person is not None:
        title = face.person.name
    elif decision.outcome == "review" and face.closest is not None:
        title = said["perhaps"].format(name=face.closest.name)
    words = said["similarity"].format(value=written(texts, decision.similarity, 2))
    if decision.policy.match != NO_RATE:
        needed = written(texts, decision.policy.match.threshold, 2)
        words += " " + said["needed"].format(value=needed)
    following = ""
    if face.runner_up is not None:
        name, value = face.runner_up[0].name, written(texts, face.runner_up[1], 2)
        following = said["runner_up"].format(name=name, value=value)
    # Who is named, for sure or perhaps: of them it can be said that it is not them.
    meant = face.closest if decision.outcome != "no_match" else None
    return {
        "title": title,
        "meant": meant.id if meant else "",
        "meantname": meant.name if meant else "",
        "said": words,
        "runner_up": following,
        "outcome": decision.outcome,
        "person": face.person.id if face.person else "",
    }


def _one(request: Request, upload: Upload, texts: Any) -> dict[str, Any]:
    """A photo with what is drawn over it, or why there is none."""
    service = service_of(request)
    try:
        recognizer = service.recognizer
        photo = service.faces(upload, recognizer)
        faces = recognizer.search(photo, service.gallery)
    except VisavisError as error:
        return {"name": upload.name, "fault": shown_error(error, texts).explained}
    service.saw(request, faces)
    width, height = photo.width, photo.height
    text, told = max(width, height) / LETTERS, poor_words(photo, texts)
    return {
        "name": upload.name,
        "fault": "",
        "source": picture_url(photo.image),
        "width": width,
        "height": height,
        "text": round(text, 1),
        "words": texts["site"]["identify"]["faces"].format(count=len(faces)),
        "faces": [
            {"number": number, **_box(face, text), **face_words(face, texts), "poor": poor}
            for number, (face, poor) in enumerate(zip(faces, told, strict=True), 1)
        ],
    }


def _box(face: Identification, text: float) -> dict[str, float]:
    left, top, right, bottom = (round(float(value), 1) for value in face.face.box)
    above = top - text / 3
    label = above if above > text else bottom + text
    return {
        "x": left,
        "y": top,
        "width": round(right - left, 1),
        "height": round(bottom - top, 1),
        "label": round(label, 1),
    }
