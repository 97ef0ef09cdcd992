"""All that requests share: models, gallery, keys, queue, decoders."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from visavis.attendance.attendance import Attendance
from visavis.attendance.inbox import Inbox
from visavis.attendance.rosters import Rosters
from visavis.errors import VisavisError
from visavis.faces import PhotoFaces, find_faces
from visavis.gallery import Gallery, Person
from visavis.gallery.keeping import KeptUp
from visavis.image import Photo
from visavis.recognizer import Recognizer
from visavis.results import Identification
from visavis.runtime import cores
from visavis.serve.active import ActiveModels, LoadModels
from visavis.serve.budget import InferenceBudget
from visavis.serve.cameras import Cameras
from visavis.serve.decoders import DecoderPool
from visavis.serve.desk import Desk
from visavis.serve.forms import BodyBudget, Upload
from visavis.serve.heard import HeardTerminals
from visavis.serve.hooks.delivery import Delivery
from visavis.serve.hooks.outbox import Outbox, recognised
from visavis.serve.hooks.sender import Sender
from visavis.serve.hooks.webhooks import Webhooks
from visavis.serve.jobs import Jobs
from visavis.serve.kiosk import Kiosks
from visavis.serve.limits import SERVE_LIMITS, ServeLimits
from visavis.serve.once import Ask, Once, WriteAnswer, hash_of
from visavis.serve.refusals import Refusal, envelope, status_of
from visavis.serve.who.access import Guard, caller_of, is_local_host
from visavis.serve.who.keys import ApiKeys
from visavis.serve.who.oidc import OidcLogin
from visavis.serve.who.outside import OutsideSettings
from visavis.serve.who.sessions import RestingNames, Sessions
from visavis.serve.who.users import Users
from visavis.watch.guarding import LiveGuard
from visavis.watch.searching import Roster
from visavis.watch.watching import WatchPlan

BACK = "/login/oidc/back"  # where the provider sends people back to
AHEAD = 2  # requests worked on for each core: one decodes while another's networks run
WAITING = 10  # requests that arrive or wait for each core


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How the service was started."""

    pack: str = ""  # the one that was named and decides; "": the gallery's configuration does
    load: LoadModels | None = None  # the models of another configuration, where it may decide
    guests: bool = True  # whether who has no key may compare photos: on loopback alone
    embeddings: bool = False  # whether embeddings are given out
    webhooks_inside: bool = False  # whether webhooks may go to this machine and private networks
    outside: OutsideSettings | None = None  # where people sign in instead of here
    workers: int = field(default_factory=cores)
    watch: tuple[str, ...] = ()  # cameras and streams, each with its name
    attendance: bool = False  # whether who is confirmed by them is recorded
    guards: Mapping[str, LiveGuard] = field(default_factory=dict)  # who must be alive, by camera


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
        self.models = ActiveModels(recognizer, gallery, self.budget, asked.load)
        self.cameras = self._cameras()  # first: what is no camera is told before all else
        self.desk = Desk(AHEAD * asked.workers, WAITING * asked.workers)
        self.decoders = DecoderPool(asked.workers, seconds=limits.decoding)
        self.bodies = BodyBudget(limits.bodies)
        self.keys = ApiKeys(gallery)
        self.guard = Guard(self.keys, guests=asked.guests and asked.outside is None)
        self.once = Once(gallery)
        self.jobs, self.kept_up = Jobs(gallery), KeptUp(gallery)
        self.heard, self.kiosks = HeardTerminals(), Kiosks()
        self.webhooks = Webhooks(gallery, inside=asked.webhooks_inside)
        self.outbox = Outbox(gallery)
        sender = Sender(inside=asked.webhooks_inside)
        self.delivery = Delivery(self.webhooks, self.outbox, sender)
        self.oidc = _oidc_of(asked.outside)
        self.stopping: Callable[[], bool] = lambda: False  # whether streams are to end
        self.users, self.sessions, self.lockout = Users(gallery), Sessions(), RestingNames()

    @property
    def recognizer(self) -> Recognizer:
        """What decides now. A request asks once: for the next one it may be another."""
        return self.models.now()

    def pack_of(self, recognizer: Recognizer) -> str:
        """The name of the pack that decides, or of several with + between them."""
        return self.asked.pack or "+".join(one.pack for one in recognizer.rules.members)

    def is_meant(self, host: str) -> bool:
        """Whether a Host header names this service; where others reach it, every one does."""
        outside = self.asked.outside
        named = outside is not None and host == outside.host
        return not self.asked.guests or named or is_local_host(host)

    def warm_up(self) -> None:
        """Read the gallery's templates, so that the first request does not wait for them; send
        what waits for webhooks.
        """
        self.gallery.index(self.recognizer.embed.parts)
        self.delivery.start()

        self.cameras.start()

    def close(self) -> None:
        """End what was begun, then let go of everything."""
        self.cameras.close()
        self.desk.close()
        self.delivery.close()
        self.jobs.close()
        self.decoders.close()
        self.kept_up.close()
        self.gallery.close()

    def _cameras(self) -> Cameras:
        asked = self.asked
        book = Attendance(self.gallery) if asked.attendance else None
        plan = WatchPlan(guards=asked.guards)
        return Cameras(self.models.watching, self.gallery, asked.watch, book, plan)

    def photo(self, upload: Upload) -> Photo:
        """An upload as a photo. Raises Refusal, ImageError."""
        return self.decoders.open(upload.data, upload.name, self.limits.photo)

    def faces(self, upload: Upload, recognizer: Recognizer) -> PhotoFaces:
        """An upload's faces, as a recognizer finds them, no more than are told."""
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

    @cached_property
    def _attendance(self) -> Attendance:
        return Attendance(self.gallery)

    @cached_property
    def _inbox(self) -> Inbox:
        return Inbox(self._attendance)

    @cached_property
    def _rosters(self) -> Rosters:
        return Rosters(self._attendance)

    def attendance(self) -> Attendance:
        """The gallery's attendance, by the people and rules of now. Raises RulesError for none."""
        attendance = self._attendance
        with self.gallery.database.reading() as connection:
            attendance.catch_up(connection)
        return attendance

    def roster(self, device: str) -> Roster:
        """Who is expected at a device now. Raises RulesError where no rules are kept."""
        self.attendance()
        return self._rosters.of(device, datetime.now(UTC))

    def inbox(self) -> Inbox:
        """The people whom nobody knows. Raises RulesError where no rules are kept."""
        self.attendance()
        return self._inbox

    def saw(self, request: Request, faces: Sequence[Identification]) -> None:
        """Note who was recognised, and let the webhooks be told of every face."""
        self.gallery.note_seen(face.person.id for face in faces if face.person is not None)
        hooks = self.webhooks.all()
        if hooks and faces:
            self.outbox.put(hooks, [recognised(face, request.state.id) for face in faces])
            self.delivery.wake()

    def remove_webhook(self, identity: str) -> None:
        """Send nothing there any more, and drop what waits for it. Raises Refusal, 404."""
        self.webhooks.remove(identity)
        self.outbox.clear(identity)

    def note(self, request: Request, person: str | None = None) -> None:
        """Note in the audit who asked for people's data: reads too. It names nobody."""
        route = request.scope["route"].path
        details = {"by": caller_of(request).name, "method": request.method, "route": route}
        details["request"] = request.state.id
        self.gallery.record("request", details | ({"of": person} if person else {}))


def _oidc_of(outside: OutsideSettings | None) -> OidcLogin | None:
    if outside is None or outside.oidc is None:
        return None
    return OidcLogin(outside.oidc, outside.url.rstrip("/") + BACK)


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
