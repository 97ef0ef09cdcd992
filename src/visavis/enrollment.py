"""Photos of people into a gallery: each accepted, or refused with its reason; nothing twice."""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from visavis.batch import in_order
from visavis.dataset import find_photos
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
from visavis.gallery.people import clean_name
from visavis.image import open_photo, read_image
from visavis.quality import REASONS, Quality
from visavis.recognizer import Recognizer
from visavis.types import Crops, Embedder, Embeddings

# Reason codes of a refusal, beside those of visavis.quality.
NO_FACE, AMBIGUOUS, UNREADABLE = "no_face", "ambiguous", "unreadable"
OTHER_PERSON, HERE_ALREADY, NOT_ADDED = "other_person", "here_already", "not_added"
CODES = {NoFaceError: NO_FACE, AmbiguousFaceError: AMBIGUOUS, ImageError: UNREADABLE}
# Share of newcomers that may be taken for somebody who is here, however many are.
MISTAKEN = 1e-2
ROOM = 1024  # templates the list of the known grows by, at least


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
    """PEOPLE/<name>/*.jpg and PEOPLE/<name>.png: the folder or the file is named for the person."""
    return [
        Candidate(
            photo.stem if photo.parent == folder else photo.relative_to(folder).parts[0], photo
        )
        for photo in find_photos([folder])
    ]


def from_roster(path: Path) -> list[Candidate]:
    """A CSV with columns name and photo, and if wanted external_id and consent.

    `photo` is a file or a folder, beside the roster where it is relative. Raises DatasetError with
    the line of a row that cannot be read.
    """
    candidates: list[Candidate] = []
    for number, row in _roster_rows(path):
        name, photo, external_id, consent = (
            (row.get(column) or "").strip()
            for column in ("name", "photo", "external_id", "consent")
        )
        if not name or not photo or None in row:
            raise DatasetError(f"{path}, line {number}: expected a name and a photo, got {row}")
        try:
            found = find_photos([path.parent / photo])
        except DatasetError as error:
            raise DatasetError(f"{path}, line {number}: {error}") from error
        candidates += [
            Candidate(name, file, external_id or None, consent or None) for file in found
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
    somebody else than to their own person, and those that are here already; what is here already is
    not read again, so that a run that was stopped goes on where it was.
    """
    known = _Known(gallery, recognizer)

    def prepare(candidate: Candidate) -> _Prepared | None:
        encoded = open_photo(candidate.photo)
        sha256 = hashlib.sha256(encoded.data).hexdigest()
        if known.has(candidate, sha256):
            return None
        photo = find_faces(recognizer.detect, encoded)
        face = photo.choose(candidate.face)
        crop = photo.crops([face])
        quality = photo.quality(face, crop[0])
        faults = tuple(code for code in quality.reasons if not _harmless(code, photo, face))
        return _Prepared(sha256, quality, faults, crop, recognizer.embed(crop))

    for candidate, answer in in_order(prepare, candidates, workers=workers):
        try:
            if isinstance(answer, VisavisError):
                raise answer
            yield _admit(known, candidate, answer, keep_crops, anyway)
        except (NoFaceError, AmbiguousFaceError, ImageError, LandmarkError, PersonError) as error:
            code = CODES.get(type(error), NOT_ADDED)
            yield _refused(candidate, code, str(error))


def re_embed(gallery: Gallery, embed: Embedder) -> tuple[int, int]:
    """Templates of another model from kept crops: how many, and how many photos have no crop."""
    made = without = 0
    for person in gallery.people():
        for sample in gallery.samples(person.id):
            if sample["crop"] is None:
                without += embed.model not in sample["templates"]
            elif embed.model not in sample["templates"]:
                (embedding,) = embed(read_image(sample["crop"])[None])
                gallery.add_template(person.id, sample["id"], embed.model, embedding)
                made += 1
    return made, without


class _Known:
    """Who is in the gallery, kept up to date while photos are added."""

    def __init__(self, gallery: Gallery, recognizer: Recognizer) -> None:
        self.gallery = gallery
        self.model = recognizer.embed.model
        self._calibration = recognizer.calibration
        gallery.configure(
            {
                "model": self.model,
                "calibration": recognizer.calibration.data_sha256,
                "templates": "best",  # of a person's templates the closest counts
            }
        )
        templates, _ = gallery.templates(self.model)
        self._count = len(templates.rows)
        ends = np.append(templates.starts[1:], self._count)
        self._owners = np.repeat(np.array(templates.people, "U32"), ends - templates.starts)
        self._rows = templates.rows.reshape(self._count, recognizer.embed.dim)
        self._people: dict[str, list[Person]] = {}
        for person in gallery.people():
            self._people.setdefault(person.name, []).append(person)
        self._hashes = gallery.sources()

    def find(self, candidate: Candidate) -> Person | None:
        """Whom the photo is of, if known: as Gallery.find_or_add finds them."""
        same = [
            person
            for person in self._people.get(clean_name(candidate.name), ())
            if candidate.external_id in (None, person.external_id)
        ]
        if len(same) > 1:
            raise PersonError(f"{len(same)} people are called {candidate.name!r}; say which: --id")
        return same[0] if same else None

    def has(self, candidate: Candidate, sha256: str) -> bool:
        person = self.find(candidate)
        return person is not None and (person.id, sha256) in self._hashes

    def closest_other(
        self, candidate: Candidate, embedding: Embeddings
    ) -> tuple[str, float] | None:
        """Somebody else who is a match, and closer than the candidate's own photos: name,
        similarity.

        The more templates there are, the closer it must be: else every newcomer to a large gallery
        would be taken for somebody.
        """
        if not self._count:
            return None
        own = self.find(candidate)
        owners = self._owners[: self._count]
        similarities = self._rows[: self._count] @ embedding[0]
        mine = owners == (own.id if own else "")
        best = int(np.where(mine, -2, similarities).argmax())
        rate = min(POLICIES["standard"], MISTAKEN / self._count)
        threshold = self._calibration.search_policy(rate).match.threshold
        if mine[best] or similarities[best] < max([threshold, *similarities[mine]]):
            return None
        return self._name_of(str(owners[best])), float(similarities[best])

    def add(self, candidate: Candidate, sample: Sample, embedding: Embeddings) -> bool:
        person = self.find(candidate)
        if person is None:
            person = self.gallery.find_or_add(
                candidate.name, external_id=candidate.external_id, consent=candidate.consent
            )
            self._people.setdefault(person.name, []).append(person)
        elif candidate.consent and candidate.consent != person.consent:
            self.gallery.note_consent(person.id, candidate.consent)
        if self.gallery.add_sample(person.id, sample) is None:
            return False
        self._hashes.add((person.id, sample.source_sha256))
        if self._count == len(self._rows):  # twice the room, so that growing stays cheap
            room = max(ROOM, self._count)
            self._rows = np.concatenate(
                [self._rows, np.empty_like(embedding, shape=(room, len(embedding[0])))]
            )
            self._owners = np.concatenate([self._owners, np.empty(room, "U32")])
        self._rows[self._count], self._owners[self._count] = embedding[0], person.id
        self._count += 1
        return True

    def _name_of(self, person: str) -> str:
        everybody = (known for same in self._people.values() for known in same)
        return next((known.name for known in everybody if known.id == person), person)


def _admit(
    known: _Known,
    candidate: Candidate,
    prepared: _Prepared | None,
    keep_crops: bool,
    anyway: bool,
) -> Enrolled:
    if prepared is None or known.has(candidate, prepared.sha256):
        return _refused(candidate, HERE_ALREADY, "this very photo is enrolled already")
    if prepared.faults and not anyway:
        words = ", ".join(REASONS[code] for code in prepared.faults)
        return _refused(candidate, prepared.faults[0], words)
    other = known.closest_other(candidate, prepared.embedding)
    if other is not None:
        words = f"like {other[0]} ({other[1]:.2f}), more than like {candidate.name}"
        return _refused(candidate, OTHER_PERSON, words)
    sample = Sample(
        source=candidate.photo.name,
        source_sha256=prepared.sha256,
        quality=asdict(prepared.quality),
        templates={known.model: prepared.embedding[0]},
        crop=_png(prepared.crop) if keep_crops else None,
    )
    if not known.add(candidate, sample, prepared.embedding):
        return _refused(candidate, HERE_ALREADY, "another process enrolled this very photo")
    return Enrolled(candidate.name, str(candidate.photo), accepted=True)


def _refused(candidate: Candidate, reason: str, detail: str) -> Enrolled:
    return Enrolled(candidate.name, str(candidate.photo), False, reason, detail)


def _harmless(code: str, photo: PhotoFaces, face: int) -> bool:
    """A close-up's box may reach past the border: its crop is whole as long as the points are."""
    points = photo.faces[face].landmarks
    return code == "cut" and bool(((points >= 0) & (points < (photo.width, photo.height))).all())


def _roster_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows with the number of their (last) line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected a CSV in UTF-8: {error}") from error
    if missing := {"name", "photo"} - set(columns):
        raise DatasetError(
            f"{path}: no column {', '.join(sorted(missing))}; expected name, photo and, if wanted, "
            f"external_id and consent; got {', '.join(columns)}"
        )
    return rows


def _png(crop: Crops) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(crop[0]).save(buffer, "PNG")
    return buffer.getvalue()
