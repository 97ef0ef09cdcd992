"""The kiosk's page: a browser's camera, one picture a request, large words, a name at the end.

It works without an account, by a key of the scope kiosk that stands behind the # of its link: a
browser sends that to nobody. The page keeps it, and sends it as a header with each picture.
"""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from visavis.attendance.moments import wall_text, zone_named
from visavis.attendance.punches import Fate, Reporter, Sighting
from visavis.attendance.rules import Direction, Terminal
from visavis.attendance.unknown import Stranger
from visavis.enrollment import crop_png
from visavis.errors import VisavisError
from visavis.recognizer import Recognizer
from visavis.results import Nearest
from visavis.serve.forms import Multipart, PhotoField, Upload
from visavis.serve.kiosk import Kiosk, KioskFrame, KioskSaid
from visavis.serve.punching import PunchPlace, punch_seen
from visavis.serve.refusals import Refusal
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import page_language, page_of
from visavis.serve.site.wording import texts_of
from visavis.serve.who.access import caller_of, needs
from visavis.serve.who.keys import ApiKey
from visavis.types import Embeddings
from visavis.watch.deciding import STANDARD, worth_of
from visavis.watch.searching import nearest_first

site_kiosk = APIRouter(prefix="/kiosk", include_in_schema=False)

SHOWN_WAYS = (Direction.IN, Direction.OUT, Direction.BREAK_OUT, Direction.BREAK_IN)


class PictureForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """A picture of the camera, and the button that was pressed."""

    image: PhotoField
    direction: Direction | None = None


PICTURE = Multipart(PictureForm, photos=1)


@site_kiosk.get("", dependencies=[needs("open")])
def kiosk_page(request: Request) -> HTMLResponse:
    """The page: nothing of the gallery is in it."""
    return page_of(request, "kiosk", {"ways": SHOWN_WAYS})


@site_kiosk.get("/device", dependencies=[needs("kiosk")])
def kiosk_device(request: Request) -> JSONResponse:
    """Which device the key is bound to, and whether it asks which way somebody goes."""
    key = _key(request)
    terminal = _terminal(service_of(request), key)
    return JSONResponse({"device": key.device, "asks": terminal.direction is None})


@site_kiosk.post("/pictures", dependencies=[needs("kiosk")])
async def see_picture(
    request: Request, form: Annotated[PictureForm, Depends(PICTURE)]
) -> JSONResponse:
    """What to show now; with the punch, where there is one. The picture is forgotten;
    of who is not recognised the inbox keeps what the rules say."""
    service, key = service_of(request), _key(request)
    return JSONResponse(await service.desk.run(partial(_seen, service, request, key, form)))


def _key(request: Request) -> ApiKey:
    """The kiosk's key. Raises Refusal for another one."""
    key = caller_of(request).key
    if key is None or not key.device:
        what = "this is for the key of a kiosk, which is bound to a device"
        raise Refusal("invalid", what, mend="have a kiosk's link made on the page of settings")
    return key


def _terminal(service: Service, key: ApiKey) -> Terminal:
    """What the rules say of the kiosk's device; of one that they do not name, nothing."""
    return service.attendance().rules.devices.get(key.device, Terminal())


def _seen(service: Service, request: Request, key: ApiKey, form: PictureForm) -> dict[str, Any]:
    texts = texts_of(page_language(request))
    said_by = texts["kiosk"]
    recognizer, terminal = service.recognizer, _terminal(service, key)
    roster = service.roster(key.device)
    try:
        frame = _frame(service, recognizer, form.image)
    except VisavisError as error:
        return {"state": "waiting", "title": texts["errors"].get(error.code, said_by["fault"])}

    def search(embedding: Embeddings) -> Nearest:
        (nearest,) = nearest_first(recognizer, service.gallery, embedding, STANDARD, roster)
        return nearest

    way = terminal.direction or form.direction
    with service.kiosks.of(key.id) as kiosk:
        said = kiosk.see(
            frame,
            search,
            time.monotonic(),
            challenged=terminal.challenge,
            chosen=way is not None,
        )
        if said.state == "punch":
            return _punched(service, request, kiosk, (said, recognizer.embed.model, way))
    place = PunchPlace(key.device, way, f"{key.id} {said.visit}", Reporter.KIOSK)
    if terminal.others:  # else nobody knows whether who is not expected is unknown
        _keep(service, recognizer, said, place)
    return _words(said, said_by)


def _frame(service: Service, recognizer: Recognizer, upload: Upload) -> KioskFrame | None:
    """The largest face of a picture, measured. Raises Refusal, ImageError, LandmarkError."""
    photo = service.faces(upload, recognizer)
    if not photo.faces:
        return None
    crops, plain = recognizer.cut(photo, [0])
    quality, box = photo.quality(0, plain[0]), photo.faces[0].box.astype(np.float64)
    return KioskFrame(
        time.monotonic(), box, quality.yaw, worth_of(quality), recognizer.embed(crops), plain
    )


def _keep(service: Service, recognizer: Recognizer, said: KioskSaid, place: PunchPlace) -> None:
    """Put who was not recognised into the inbox, as the rules have it."""
    inbox, calibration = service.inbox(), recognizer.calibration_of(service.gallery)
    if said.stranger is None or not calibration.points:
        return  # without a calibration nobody can say who is alike
    rate, best = recognizer.rules.match_rate(None), said.stranger.best
    crops = inbox.attendance.rules.crops
    stranger = Stranger(
        Sighting("", datetime.now(UTC), place.device, place.direction, place.source, key=place.key),
        said.stranger.template,
        recognizer.embed.parts,
        calibration.search_policy(rate).match.threshold,
        best.worth,
        crop_png(best.crop) if crops and best.crop is not None else None,
    )
    inbox.keep(stranger)


def _punched(
    service: Service,
    request: Request,
    kiosk: Kiosk,
    decided: tuple[KioskSaid, str, Direction | None],
) -> dict[str, Any]:
    """Punch, and say so: only what is on disk is told."""
    said, model, way = decided
    key, texts = _key(request), texts_of(page_language(request))
    place = PunchPlace(key.device, way, f"{key.id} {said.visit}", Reporter.KIOSK)
    assert said.nearest is not None
    recorded = punch_seen(service, said.nearest, model, place)
    kiosk.done(said.visit)
    person = said.nearest.person
    service.note(request, person.id if person else None)
    zone = zone_named(service.attendance().rules.device_zone(key.device))
    fate = "recorded" if recorded and recorded.fate is Fate.PUNCH else "already"
    direction = texts["attendance"]["directions"][way] if way else ""
    line = texts["kiosk"][fate].format(direction=direction, time=wall_text(datetime.now(UTC), zone))
    return {"state": "done", "title": person.name if person else "", "line": line}


def _words(said: KioskSaid, texts: Any) -> dict[str, Any]:
    """What whoever stands there reads. A name only where it is decided."""
    person = said.nearest.person if said.nearest and said.state == "choose" else None
    title = texts["tasks"][said.task] if said.task else texts["states"][said.state]
    line = texts["states"]["choose"] if person else ""
    if said.state == "resting":
        line = texts["wait"].format(seconds=int(said.wait) + 1)
    return {"state": said.state, "title": person.name if person else title, "line": line}
