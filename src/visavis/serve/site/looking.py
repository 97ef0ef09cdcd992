"""What is poor about photos before they are enrolled: asked for as they are chosen or taken."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from visavis.errors import VisavisError
from visavis.faces import PhotoFaces
from visavis.serve.forms import Upload
from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.rest.photos import PhotoFields
from visavis.serve.service import Service, service_of
from visavis.serve.site.verdict import shown_error
from visavis.serve.site.visits import form_of, page_language, seen_by
from visavis.serve.site.wording import texts_of

# Before the pages of people: /people/look is nobody's id.
site_looking = APIRouter(prefix="/people/look", include_in_schema=False)


class LookForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """Photos that somebody may be enrolled with."""

    images: PhotoFields


@site_looking.post("", dependencies=[seen_by("operator")])
async def look_at_photos(
    request: Request, form: Annotated[LookForm, form_of(LookForm, photos=SERVE_LIMITS.photos)]
) -> JSONResponse:
    """Of each photo, in words, whether it is good. Nothing is kept."""
    service, texts = service_of(request), texts_of(page_language(request))

    def work() -> list[dict[str, str]]:
        return [{"name": one.name, "said": _said(service, one, texts)} for one in form.images]

    return JSONResponse({"photos": await service.desk.run(work)})


def poor_words(photo: PhotoFaces, texts: Any) -> list[str]:
    """What is poor about each face, in words: what to mend before it is enrolled."""
    reasons = [quality.reasons if quality else () for quality in photo.qualities()]
    return [", ".join(texts["reasons"][code] for code in codes) for codes in reasons]


def _said(service: Service, upload: Upload, texts: Any) -> str:
    try:
        photo = service.faces(upload, service.recognizer)
        chosen = photo.choose()
    except VisavisError as error:
        return shown_error(error, texts).explained
    poor, said = poor_words(photo, texts)[chosen], texts["site"]["look"]
    return said["poor"].format(reasons=poor) if poor else said["good"]
