"""A photo to a punch: who is in it, at which device, by whose key. For REST and for the kiosk."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from visavis.answers.attendance import recorded_json
from visavis.attendance.punches import Evidence, Recorded, Reporter, Sighting
from visavis.attendance.rules import Direction
from visavis.gallery.people import Among
from visavis.recognizer import Recognizer
from visavis.results import Identification, Nearest
from visavis.serve.forms import Upload
from visavis.serve.refusals import Refusal
from visavis.serve.service import Service
from visavis.serve.who.access import Caller, caller_of
from visavis.watch.searching import Roster, expected_first


@dataclass(frozen=True, slots=True)
class PunchPlace:
    """Where somebody stands, and what they say of it."""

    device: str
    direction: Direction | None = None
    key: str = ""  # of the request: sent again, it is one punch
    source: Reporter = Reporter.REST


def device_of(caller: Caller, asked: str) -> str:
    """The device that a punch is at. Raises Refusal where a kiosk says another than its own."""
    bound = caller.key.device if caller.key else ""
    if bound and asked not in ("", bound):
        what = "this key punches for its own device alone"
        raise Refusal("forbidden", what, mend="leave the device out")
    return bound or asked


def actor_of(request: Request) -> str:
    """Who does something by hand, for the record: not theirs to choose."""
    caller = caller_of(request)
    return f"{caller.title} ({caller.name})"


def face_of(
    service: Service, recognizer: Recognizer, upload: Upload, roster: Roster
) -> Identification:
    """Whom the one face of a photo, or the one that is plainly meant, shows: of those who are
    expected, else of all.

    Raises Refusal, ImageError, NoFaceError, AmbiguousFaceError.
    """
    photo = service.faces(upload, recognizer)
    alone = replace(photo, faces=(photo.faces[photo.choose()],))

    def ask(rows: list[int], rate: float, among: Among) -> list[Identification]:
        seen = recognizer.search(alone, service.gallery, false_positive_rate=rate, among=among)
        return [seen[row] for row in rows]

    (face,) = expected_first(ask, [0], recognizer.rules.search_rate(None), roster)
    return face


def punch_seen(
    service: Service, seen: Identification | Nearest, model: str, place: PunchPlace
) -> Recorded | None:
    """Keep the punch of somebody whom a model recognised now; None where it recognised nobody."""
    person, decision = seen.person, seen.decision
    if person is None:
        return None
    evidence = Evidence(
        model,
        round(decision.similarity, 4),
        round(decision.policy.match.threshold, 4),
        decision.configuration,
    )
    sighting = Sighting(
        person.id,
        datetime.now(UTC),
        place.device,
        place.direction,
        place.source,
        evidence=evidence,
        key=place.key,
    )
    recorded = service.attendance().record(sighting)
    service.gallery.note_seen([person.id])
    return recorded


def punched_json(seen: Identification, recorded: Recorded | None) -> dict[str, Any]:
    """What a photo was taken for, and what became of it.

    Where it is no match nobody is told how close to whom it is: by that a face could be made.
    """
    person, decision = seen.person, seen.decision
    return {
        "outcome": decision.outcome,
        "person": person and {"id": person.id, "name": person.name},
        "similarity": round(decision.similarity, 4) if person else None,
        "threshold": decision.policy.match.threshold if person else None,
        "sighting": recorded and recorded_json(recorded),
    }
