"""All that requests share: models, gallery, keys, queue, decoders."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from visavis.attendance.attendance import Attendance
from visavis.attendance.cameras import CameraClerk
from visavis.errors import VisavisError
from visavis.faces import PhotoFaces, find_faces
from visavis.gallery import Gallery, Person
from visavis.image import Photo
from visavis.recognizer import Recognizer
from visavis.runtime import cores
from visavis.serve.budget import InferenceBudget, budgeted
from visavis.serve.cameras import Cameras
from visavis.serve.decoders import DecoderPool
from visavis.serve.desk import Desk
from visavis.serve.forms import BodyBudget, Upload
from visavis.serve.jobs import Jobs
from visavis.serve.limits import SERVE_LIMITS, ServeLimits
from visavis.serve.once import Ask, Once, WriteAnswer, hash_of
from visavis.serve.refusals import Refusal, envelope, status_of
from visavis.serve.who.access import Guard, caller_of
from visavis.serve.who.keys import ApiKeys
from visavis.serve.who.sessions import RestingNames, Sessions
from visavis.serve.who.users import Users
from visavis.watch.following import without_angles
from visavis.watch.guarding import OFF, LiveGuard
from visavis.watch.watching import WatchPlan

AHEAD = 2  # requests worked on for each core: one decodes while another's networks run
WAITING = 8  # requests that wait for each core


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How the service was started."""

    pack: str = "default"  # its name, to be told
    guests: bool = True  # whether who has no key may compare photos: on loopback alone
    embeddings: bool = False  # whether embeddings are given out
    workers: int = field(default_factory=cores)
    watch: tuple[str, ...] = ()  # cameras and streams, each with its name
    attendance: bool = False  # whether who is confirmed by them is recorded
    guard: LiveGuard = OFF  # whether they must be alive


class Service:
    """What requests share."""

    def __init__(
        self,
        recognizer: Recognizer,
        gallery: Gallery,
        asked: ServeSettings,
        limits: ServeLimits = SERVE_LIMITS,
    ) -> None:
        self.asked, self.limits, self.gallery = asked, limits, gallery
        self.budget = InferenceBudget(asked.workers)
        self.recognizer = budgeted(recognizer, self.budget)
        self.cameras = self._cameras(recognizer)  # first: what is no camera is told before all else
        self.desk = Desk(AHEAD * asked.workers, WAITING * asked.workers)
        self.decoders = DecoderPool(asked.workers, seconds=limits.decoding)
        self.bodies = BodyBudget(limits.bodies)
        self.keys = ApiKeys(gallery)
        self.guard = Guard(self.keys, guests=asked.guests)
        self.once = Once(gallery)
        self.jobs = Jobs(gallery)
        self.stopping: Callable[[], bool] = lambda: False  # whether streams are to end
        self.users, self.sessions, self.lockout = Users(gallery), Sessions(), RestingNames()

    def warm_up(self) -> None:
        """Read the gallery's templates, so that the first request does not wait for them."""
        self.gallery.index(self.recognizer.embed.parts)
        self.cameras.start()

    def close(self) -> None:
        """End what was begun, then let go of everything."""
        self.cameras.close()
        self.desk.close()
        self.jobs.close()
        self.decoders.close()
        self.gallery.close()

    def _cameras(self, recognizer: Recognizer) -> Cameras:
        """The cameras that are watched: within the same budget of networks as requests."""
        upright = replace(recognizer, detect=without_angles(recognizer.detect))
        watching, asked = budgeted(upright, self.budget), self.asked
        book = Attendance(self.gallery) if asked.attendance else None
        clerk = CameraClerk(book, watching) if book else None
        plan = WatchPlan(guard=asked.guard)
        return Cameras(watching, self.gallery, asked.watch, clerk, plan)

    def photo(self, upload: Upload) -> Photo:
        """An upload as a photo. Raises Refusal, ImageError."""
        return self.decoders.open(upload.data, upload.name, self.limits.photo)

    def faces(self, upload: Upload) -> PhotoFaces:
        """An upload's faces, as the recognizer finds them, no more than are told."""
        recognizer = self.recognizer
        return find_faces(
            recognizer.detect,
            self.photo(upload),
            max_faces=self.limits.faces,
            max_side=recognizer.max_side,
        )

    def person(self, identity: str) -> Person:
        """Somebody by their id. Raises Refusal, 404."""
        known = self.gallery.people_of([identity]).get(identity)
        if known is None:
            raise Refusal("not_found", "nobody here has this id")
        return known

    def note(self, request: Request, person: str | None = None) -> None:
        """Note in the audit who asked for people's data: reads too. It names nobody."""
        route = request.scope["route"].path
        details = {"by": caller_of(request).name, "method": request.method, "route": route}
        details["request"] = request.state.id
        self.gallery.record("request", details | ({"of": person} if person else {}))


def service_of(request: Request) -> Service:
    """What this request shares with others."""
    service: Service = request.app.state.service
    return service


def write_once(
    request: Request, form: BaseModel | None, work: Callable[[], WriteAnswer]
) -> JSONResponse:
    """Do a write once for its Idempotency-Key, note it in the audit, and answer."""
    service = service_of(request)
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 200:
        raise Refusal("bad_request", "Idempotency-Key: expected 1 to 200 characters")
    place = f"{request.method} {request.url.path}"
    ask = Ask(caller_of(request).name, key, hash_of(place, form))
    answered = service.once.answer(ask, work)
    service.note(request, answered.person)
    return JSONResponse(answered.document, answered.status)


def failure_of(upload: Upload, error: VisavisError) -> dict[str, str]:
    """A photo of several that failed, as a document."""
    said = {"code": error.code, "message": error.what, "mend": error.mend}
    return {"path": upload.name, **said}


def error_response(request: Request, error: VisavisError) -> JSONResponse:
    """An error as HTTP answers it."""
    headers = error.headers if isinstance(error, Refusal) else {}
    identity = getattr(request.state, "id", "")
    return JSONResponse(envelope(error, identity), status_of(error), headers=headers)


def key_document(key: object) -> dict[str, object]:
    """A key without its hash."""
    document = json.loads(json.dumps(asdict(key)))  # type: ignore[call-overload]
    document.pop("sha256")
    return dict(document)
