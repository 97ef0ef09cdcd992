"""Photos of people into a gallery: each accepted, or refused with its reason; nothing twice."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image as Pillow

from visavis.batch import in_order
from visavis.dataset import find_photos
from visavis.dataset.lists import read_table
from visavis.decision import POLICIES
from visavis.errors import (
    AmbiguousFaceError,
    DatasetError,
    ImageError,
    LandmarkError,
    NoFaceError,
    PersonError,
    VisavisError,
)
from visavis.faces import PhotoFaces, find_faces
from visavis.gallery import Gallery, Person, Sample
from visavis.image import open_photo, read_image
from visavis.quality import REASONS, Quality
from visavis.recognizer import Recognizer
from visavis.types import Crops, Embedder, Embeddings

# Reason codes of a refusal, beside those of visavis.quality.
NO_FACE, AMBIGUOUS, UNREADABLE = "no_face", "ambiguous", "unreadable"
OTHER_PERSON, HERE_ALREADY, NOT_ADDED = "other_person", "here_already", "not_added"
CODES = {NoFaceError: NO_FACE, AmbiguousFaceError: AMBIGUOUS, ImageError: UNREADABLE}
ROSTER = ("name", "photo", "external_id", "consent")  # columns; the first two must be there
# Share of newcomers that may be taken for somebody in the gallery, however many are in it.
MISTAKEN = 1e-2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo to enrol, and whom it shows."""

    name: str
    photo: Path
    external_id: str | None = None
    consent: str | None = None
    face: int | None = None  # from 1, largest first; None: the only or clearly largest


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of one photo."""

    name: str
    photo: str
    accepted: bool
    reason: str = ""  # a code; empty when accepted
    detail: str = ""  # in words


@dataclass(frozen=True, eq=False, slots=True)
class _Prepared:
    sha256: str
    quality: Quality
    faults: tuple[str, ...]  # those of the quality's reasons that speak against enrolling
    crop: Crops  # (1, 112, 112, 3)
    embedding: Embeddings  # (1, D)


def from_folder(folder: Path) -> list[Candidate]:
    """PEOPLE/<name>/*.jpg and PEOPLE/<name>.png: a folder or a file has its person's name.

    Raises DatasetError for what is no folder, or has no pictures.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    return [
        Candidate(
            photo.stem if photo.parent == folder else photo.relative_to(folder).parts[0], photo
        )
        for photo in find_photos([folder])
    ]


def from_roster(path: Path) -> list[Candidate]:
    """A CSV with the columns name and photo, and optionally external_id and consent.

    `photo` is a file or a folder; a relative path starts at the roster's folder. Raises
    DatasetError with the line of a row that cannot be read.
    """
    candidates: list[Candidate] = []
    for number, row in read_table(path, ROSTER[:2], ROSTER[2:]):
        name, photo, external_id, consent = (row.get(column, "") for column in ROSTER)
        if not name or not photo:
            raise DatasetError(f"{path}, line {number}: expected a name and a photo, got {row}")
        try:
            files = find_photos([path.parent / photo])
        except DatasetError as error:
            raise error.at(f"{path}, line {number}") from error
        candidates += [
            Candidate(name, file, external_id or None, consent or None) for file in files
        ]
    return candidates


def enroll(
    recognizer: Recognizer,
    gallery: Gallery,
    candidates: Iterable[Candidate],
    *,
    keep_crops: bool = False,
    anyway: bool = False,
    workers: int = 1,
) -> Iterator[Enrolled]:
    """Enrol photos, in order; each is on disk when it is yielded as accepted.

    Refused are photos without a clear face or of poor quality (unless `anyway`), those closer to
    somebody else than to their own person, and those that are in the gallery already. Such a photo
    is not searched again, so that a run that was stopped resumes where it was.
    """
    desk = _Desk(recognizer, gallery, keep_crops=keep_crops, anyway=anyway)
    for candidate, answer in in_order(desk.prepare, candidates, workers=workers):
        try:
            if isinstance(answer, VisavisError):
                raise answer
            yield desk.admit(candidate, answer)
        except (NoFaceError, AmbiguousFaceError, ImageError, LandmarkError, PersonError) as error:
            code = CODES.get(type(error), NOT_ADDED)
            yield _refused(candidate, code, str(error))


def embed_kept_crops(gallery: Gallery, embed: Embedder) -> tuple[int, int]:
    """Templates of another model from kept crops: how many, and how many photos have no crop."""
    made = without = 0
    for person in gallery.people():
        for sample in gallery.samples(person.id):
            if sample.crop is None:
                without += embed.model not in sample.templates
            elif embed.model not in sample.templates:
                (embedding,) = embed(read_image(sample.crop)[None])
                gallery.add_template(person.id, sample.id, embed.model, embedding)
                made += 1
    return made, without


class _Desk:
    """Where photos are looked at, by several threads, and admitted, one after the other."""

    def __init__(
        self, recognizer: Recognizer, gallery: Gallery, *, keep_crops: bool, anyway: bool
    ) -> None:
        self._recognizer, self._gallery = recognizer, gallery
        self._keep_crops, self._anyway = keep_crops, anyway
        self._calibration = recognizer.calibration_of(gallery).known()
        self._configured = False

    def prepare(self, candidate: Candidate) -> _Prepared | None:
        """The face of a photo, ready to be stored; None for a photo that is enrolled already."""
        encoded = open_photo(candidate.photo)
        sha256 = hashlib.sha256(encoded.data).hexdigest()
        if self._has(self._person(candidate), sha256):
            return None
        photo = find_faces(self._recognizer.detect, encoded)
        face = photo.choose(candidate.face)
        crop = photo.crops([face])
        quality = photo.quality(face, crop[0])
        faults = tuple(code for code in quality.reasons if not _harmless(code, photo, face))
        return _Prepared(sha256, quality, faults, crop, self._recognizer.embed(crop))

    def admit(self, candidate: Candidate, prepared: _Prepared | None) -> Enrolled:
        """Store a photo, or refuse it."""
        person = self._person(candidate)
        if prepared is None or self._has(person, prepared.sha256):
            return _refused(candidate, HERE_ALREADY, "this very photo is enrolled already")
        if prepared.faults and not self._anyway:
            words = ", ".join(REASONS[code] for code in prepared.faults)
            return _refused(candidate, prepared.faults[0], words)
        other = self._closest_other(person, prepared.embedding)
        if other is not None:
            words = f"like {other[0]} ({other[1]:.2f}), more than like {candidate.name}"
            return _refused(candidate, OTHER_PERSON, words)
        if not self._store(person, candidate, prepared):
            return _refused(candidate, HERE_ALREADY, "another process enrolled this very photo")
        return Enrolled(candidate.name, str(candidate.photo), accepted=True)

    def _person(self, candidate: Candidate) -> Person | None:
        return self._gallery.known_as(candidate.name, candidate.external_id)

    def _has(self, person: Person | None, sha256: str) -> bool:
        return person is not None and self._gallery.has_photo(person.id, sha256)

    def _closest_other(self, own: Person | None, embedding: Embeddings) -> tuple[str, float] | None:
        """Somebody else who is a match, and closer than the candidate's own photos: name,
        similarity.

        The more templates there are, the closer it must be: else every newcomer to a large gallery
        would be taken for somebody.
        """
        index = self._gallery.index(self._recognizer.embed.model)
        (closest,) = index.nearest(embedding, people=2)
        others = [(person, near) for person, near in closest if own is None or person != own.id]
        if not others:
            return None
        other, similar = others[0]
        rate = min(POLICIES["standard"], MISTAKEN / len(index))
        threshold = self._calibration.search_policy(rate).match.threshold
        own_similar = [near for person, near in closest if own is not None and person == own.id]
        if similar < max([threshold, *own_similar]):
            return None
        known = self._gallery.people_of([other]).get(other)
        return (known.name if known else other), similar

    def _store(self, person: Person | None, candidate: Candidate, prepared: _Prepared) -> bool:
        """Whether the photo was new."""
        if person is None:
            person = self._gallery.find_or_add(
                candidate.name, external_id=candidate.external_id, consent=candidate.consent
            )
        elif candidate.consent and candidate.consent != person.consent:
            self._gallery.note_consent(person.id, candidate.consent)
        sample = Sample(
            source=candidate.photo.name,
            source_sha256=prepared.sha256,
            quality=asdict(prepared.quality),
            templates={self._recognizer.embed.model: prepared.embedding[0]},
            crop=_png(prepared.crop) if self._keep_crops else None,
        )
        if self._gallery.add_sample(person.id, sample) is None:
            return False
        self._configure()
        return True

    def _configure(self) -> None:
        """Note with the first photo how people are recognised from now on."""
        if self._configured:
            return
        self._gallery.configure(
            {
                "model": self._recognizer.embed.model,
                "calibration": self._calibration.data_sha256,
                "templates": "best",  # of a person's templates the closest counts
            }
        )
        self._configured = True


def _refused(candidate: Candidate, reason: str, detail: str) -> Enrolled:
    return Enrolled(candidate.name, str(candidate.photo), False, reason, detail)


def _harmless(code: str, photo: PhotoFaces, face: int) -> bool:
    """A close-up's box may reach past the border: its crop is whole as long as the points are."""
    points = photo.faces[face].landmarks
    return code == "cut" and bool(((points >= 0) & (points < (photo.width, photo.height))).all())


def _png(crop: Crops) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(crop[0]).save(buffer, "PNG")
    return buffer.getvalue()
