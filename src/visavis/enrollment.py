"""Photos of people into a gallery: each accepted, or refused with its reason; nothing twice."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from visavis.agreement import agreeing
from visavis.alignment import ALIGNMENT
from visavis.batch import Progress, in_order
from visavis.compare import split_parts
from visavis.dataset import find_photos
from visavis.dataset.lists import read_table
from visavis.decision import POLICIES
from visavis.embedder import refuse_cut
from visavis.errors import (
    AmbiguousFaceError,
    DatasetError,
    ImageError,
    LandmarkError,
    NoFaceError,
    PersonError,
    VisavisError,
)
from visavis.faces import PhotoFaces
from visavis.gallery import Gallery, Person, Sample
from visavis.gallery.groups import add_to_group
from visavis.gallery.models import people_by_model, people_seen, photo_without
from visavis.gallery.negatives import allowed_nearest
from visavis.gallery.people import groups_in
from visavis.image import Photo, open_photo, read_image
from visavis.layouts import people_of_folder
from visavis.quality import REASONS, Quality, is_whole
from visavis.recognizer import Recognizer
from visavis.types import Crops, Embedder, Embeddings

# Reason codes of a refusal, beside those of visavis.quality.
NO_FACE, AMBIGUOUS, UNREADABLE = "no_face", "ambiguous", "unreadable"
OTHER_PERSON, HERE_ALREADY, NOT_ADDED = "other_person", "here_already", "not_added"
UNLIKE, NOT_COMPARED = "unlike", "not_compared"
CODES: dict[type[VisavisError], str] = {
    NoFaceError: NO_FACE,
    AmbiguousFaceError: AMBIGUOUS,
    ImageError: UNREADABLE,
    LandmarkError: NOT_ADDED,
    PersonError: NOT_ADDED,
}
# Columns; the first two must be there.
ROSTER = ("name", "photo", "external_id", "consent", "groups")
CUT = "alignment"  # what a kept crop calls the way it was cut
# Share of newcomers that may be taken for somebody in the gallery, however many are in it.
MISTAKEN = 1e-2
# Of 262 LFW photos with several faces the largest was the person's in all 214 whose second face has
# less than this share of its area; above it, it was somebody else's in 8 of 48.
CLEAR_AREA = 0.7
TOGETHER = 32  # photos of one person that are held against each other


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo to enrol, and whom it shows."""

    name: str
    photo: Path | Photo  # a file, or a photo that is opened
    external_id: str | None = None
    consent: str | None = None
    face: int | None = None  # from 1, largest first; None: the only or clearly largest
    groups: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where the photo is, in words."""
        return self.photo.name if isinstance(self.photo, Photo) else str(self.photo)

    def opened(self) -> Photo:
        """The photo. Raises ImageError where the file is none."""
        return self.photo if isinstance(self.photo, Photo) else open_photo(self.photo)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of one photo."""

    name: str
    photo: str
    accepted: bool
    reason: str = ""  # a code; empty when accepted
    detail: str = ""  # in words; of an accepted photo what is to be known of it, if anything


@dataclass(frozen=True, slots=True)
class Reembedded:
    """How many templates were made of kept crops, and how many photos could get none."""

    made: int
    cut_before: int  # of these, from crops that an earlier visavis cut in another way
    without_crop: int


@dataclass(frozen=True, eq=False, slots=True)
class _Prepared:
    sha256: str
    quality: Quality
    faults: tuple[str, ...]  # those of the quality's reasons that speak against enrolling
    crop: Crops  # (1, 112, 112, 3), without the margin of any embedder
    embedding: Embeddings  # (1, D)
    taken: str  # which of several faces, in words


_Near = tuple[str, float]  # a person's id or name, and the similarity
# A candidate with what `prepare` made of it: None for a photo that is enrolled already.
_Answer = tuple[Candidate, _Prepared | VisavisError | None]


def from_folder(folder: Path, layout: str | None = None) -> list[Candidate]:
    """PEOPLE/<name>/*.jpg and PEOPLE/<name>.png, or what `layout` says: visavis.layouts.

    Raises DatasetError for what is no folder, has no pictures, or looks like another layout.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    photos = find_photos([folder])
    names = people_of_folder(folder, photos, layout)
    return [Candidate(name, photo) for name, photo in zip(names, photos, strict=True)]


def from_roster(path: Path) -> list[Candidate]:
    """A CSV with the columns name and photo, and optionally external_id, consent and groups, whose
    names stand between commas or semicolons.

    `photo` is a file or a folder; a relative path starts at the roster's folder. Raises
    DatasetError with the line of a row that cannot be read, PersonError for a group's name.
    """
    candidates: list[Candidate] = []
    for number, row in read_table(path, ROSTER[:2], ROSTER[2:]):
        name, photo, external_id, consent, groups = (row.get(column, "") for column in ROSTER)
        if not name or not photo:
            raise DatasetError(f"{path}, line {number}: expected a name and a photo, got {row}")
        try:
            files = find_photos([path.parent / photo])
            names = groups_in(groups)
        except (DatasetError, PersonError) as error:
            raise error.at(f"{path}, line {number}") from error
        candidates += [
            Candidate(name, file, external_id or None, consent or None, groups=names)
            for file in files
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

    Refused are photos without a clear face, and those that are in the gallery already; and, unless
    `anyway`, photos of poor quality, those closer to somebody else than to their own person, those
    unlike their own person's others, and those of newcomers while somebody in the gallery has no
    template of this model to be compared with. A photo without such a template gets one.
    A photo that is here is not searched again: a run that was stopped resumes where it was.
    """
    desk = _Desk(recognizer, gallery, keep_crops=keep_crops, anyway=anyway)
    for photos in _by_person(in_order(desk.prepare, candidates, workers=workers)):
        desk.compare(photos)
        for candidate, answer in photos:
            try:
                if isinstance(answer, VisavisError):
                    raise answer
                yield desk.admit(candidate, answer)
            except tuple(CODES) as error:
                yield _refused(candidate, CODES[type(error)], str(error))


def _by_person(answers: Iterable[_Answer]) -> Iterator[list[_Answer]]:
    """Photos of one person that follow each other, TOGETHER at most."""
    whose = groupby(answers, key=lambda answer: (answer[0].name, answer[0].external_id))
    for _, photos in whose:
        while some := list(islice(photos, TOGETHER)):
            yield some


def embed_kept_crops(gallery: Gallery, embed: Embedder, *, progress: Progress = iter) -> Reembedded:
    """Make templates of another model, or of another way to cut faces, from kept crops.

    A crop stays as it was cut: the photo is not here. What that costs is in docs/people.md. Each
    template is on disk before the next is made: a run that was stopped goes on where it was.
    Raises MismatchError for a model that takes another margin than kept crops have, none.
    """
    refuse_cut(embed, mend="enrol the photos again")
    made = cut_before = without = 0
    for person in progress([person.id for person in gallery.people()]):
        for sample in gallery.samples(person):
            missing = [part.model for part in embed.parts if part.model not in sample.templates]
            if not missing:
                continue
            if sample.crop is None:
                without += 1
                continue
            templates = split_parts(embed(read_image(sample.crop)[None]), embed.parts)
            for model in missing:
                gallery.add_template(person, sample.id, model, templates[model][0])
            made += 1
            cut_before += _alignment_of(sample.crop) < ALIGNMENT
    return Reembedded(made, cut_before, without)


class _Desk:
    """Where photos are looked at, by several threads, and admitted, one after the other."""

    def __init__(
        self, recognizer: Recognizer, gallery: Gallery, *, keep_crops: bool, anyway: bool
    ) -> None:
        self._recognizer, self._gallery = recognizer, gallery
        self._keep_crops, self._anyway = keep_crops, anyway
        self._calibration = recognizer.calibration_of(gallery).known()
        self._run = uuid.uuid4().hex
        self._compared = people_seen(gallery, recognizer.embed.parts)
        self._others = set[str]().union(*people_by_model(gallery).values())
        self._odd: dict[str, float] = {}  # photos unlike their person's others: the likest of these

    def prepare(self, candidate: Candidate) -> _Prepared | None:
        """The face of a photo, ready to be stored; None for a photo that is enrolled already."""
        encoded = candidate.opened()
        sha256 = hashlib.sha256(encoded.data).hexdigest()
        person = self._person(candidate)
        if self._has(person, sha256) and not self._without(person, sha256):
            return None
        photo = self._recognizer.faces(encoded)
        face = photo.choose(candidate.face)
        taken = _taken(photo, face, clear=candidate.face is not None)
        crop, plain = self._recognizer.cut(photo, [face])
        quality = photo.quality(face, plain[0], photo.enrolment_floor)
        faults = tuple(code for code in quality.reasons if not _harmless(code, photo, face))
        return _Prepared(sha256, quality, faults, plain, self._recognizer.embed(crop), taken)

    def compare(self, photos: Sequence[_Answer]) -> None:
        """Hold photos of one person against each other, and against what is enrolled of them."""
        self._odd = {}
        looked_at = [answer for _, answer in photos if isinstance(answer, _Prepared)]
        matches = [self._matches(one.embedding) for one in looked_at]
        try:
            person = self._person(photos[0][0])
        except PersonError:
            return  # `admit` says so of each photo
        good = {
            one.sha256: one
            for one, near in zip(looked_at, matches, strict=True)
            if (self._anyway or not one.faults) and self._closest_other(person, near) is None
        }
        if not good:
            return
        rows = np.concatenate([one.embedding for one in good.values()])
        parts, least = self._recognizer.embed.parts, self._least_alike
        own = self._gallery.index_of(person.id, parts).nearest(rows, 1) if person else []
        known = np.array([value for near in own for _, value in near])
        agree = agreeing(rows, known >= least if known.size else None, least)
        closest = (rows @ rows.T - 3 * np.eye(len(rows))).max(axis=1)
        closest = np.maximum(closest, known) if known.size else closest
        self._odd = {
            sha256: float(closest[row]) for row, sha256 in enumerate(good) if not agree[row]
        }

    def admit(self, candidate: Candidate, prepared: _Prepared | None) -> Enrolled:
        """Store a photo, or refuse it."""
        if prepared is None:
            return _refused(candidate, HERE_ALREADY, "this very photo is enrolled already")
        matches = self._matches(prepared.embedding)
        person = self._person(candidate)
        if person is not None and self._has(person, prepared.sha256):
            return self._add_template(person, candidate, prepared)
        doubts = self._doubts(person, candidate, prepared, self._closest_other(person, matches))
        if doubts and not self._anyway:
            return _refused(candidate, *doubts[0])
        if not self._store(person, candidate, prepared):
            return _refused(candidate, HERE_ALREADY, "another process enrolled this very photo")
        words = "; ".join([*filter(None, [prepared.taken]), *(words for _, words in doubts)])
        return Enrolled(candidate.name, candidate.place, accepted=True, detail=words)

    @property
    def _least_alike(self) -> float:
        """The similarity under which two photos are hardly of one person."""
        return self._calibration.search_policy(POLICIES["standard"]).review.threshold

    def _doubts(
        self,
        person: Person | None,
        candidate: Candidate,
        prepared: _Prepared,
        other: _Near | None,
    ) -> list[tuple[str, str]]:
        """What speaks against a photo: codes, and words."""
        doubts = []
        if prepared.faults:
            words = ", ".join(REASONS[code] for code in prepared.faults)
            doubts.append((prepared.faults[0], words))
        if other is not None:
            words = f"like {other[0]} ({other[1]:.2f}), more than like {candidate.name}"
            doubts.append((OTHER_PERSON, words))
        if prepared.sha256 in self._odd:
            closest = self._odd[prepared.sha256]
            likest = f"the likest {closest:.2f}, " if closest >= -1 else ""
            words = f"not like the other photos of {candidate.name} ({likest}"
            doubts.append((UNLIKE, f"{words}{self._least_alike:.2f} is expected)"))
        if apart := self._others - self._compared - ({person.id} if person else set()):
            count = "1 person" if len(apart) == 1 else f"{len(apart)} people"
            words = f"{self._recognizer.embed.model} made no template of {count} here"
            doubts.append((NOT_COMPARED, f"{words}: nobody can say whether this is one of them"))
        return doubts

    def _add_template(self, person: Person, candidate: Candidate, prepared: _Prepared) -> Enrolled:
        """Give a photo that is enrolled the template of this model, where it has none."""
        photo, embed = self._without(person, prepared.sha256), self._recognizer.embed
        if photo is None:
            return _refused(candidate, HERE_ALREADY, "this very photo is enrolled already")
        for model, rows in split_parts(prepared.embedding, embed.parts).items():
            self._gallery.add_template(person.id, photo, model, rows[0])
        self._compared.add(person.id)
        words = f"was here already, and has a template of {embed.model} now"
        return Enrolled(candidate.name, candidate.place, accepted=True, detail=words)

    def _person(self, candidate: Candidate) -> Person | None:
        return self._gallery.known_as(candidate.name, candidate.external_id)

    def _has(self, person: Person | None, sha256: str) -> bool:
        return person is not None and self._gallery.has_photo(person.id, sha256)

    def _without(self, person: Person | None, sha256: str) -> str | None:
        """The id of a photo that is enrolled and has no template of this model."""
        if person is None:
            return None
        return photo_without(self._gallery, person.id, sha256, self._recognizer.embed.parts)

    def _matches(self, embedding: Embeddings) -> list[_Near]:
        """The two closest people, as far as they are matches. Asked before a candidate's own
        person is looked up: whoever is in the index is by then known by name.

        The more templates there are, the closer it must be: else every newcomer to a large gallery
        would be taken for somebody.
        """
        index = self._gallery.index(self._recognizer.embed.parts)
        parts = self._recognizer.embed.parts
        (closest,) = allowed_nearest(self._gallery, index, parts, embedding)
        rate = min(POLICIES["standard"], MISTAKEN / max(1, len(index)))
        threshold = self._calibration.search_policy(rate).match.threshold
        return [near for near in closest if near[1] >= threshold]

    def _closest_other(self, own: Person | None, matches: Sequence[_Near]) -> _Near | None:
        """Somebody else, by name, whom a photo is as like as the candidate's own photos."""
        others = dict(matches)
        own_similar = others.pop(own.id, -1.0) if own is not None else -1.0
        other, similar = next(iter(others.items()), ("", -2.0))  # the closest
        if similar < own_similar:
            return None
        known = self._gallery.people_of([other]).get(other)
        return (known.name if known else other), similar

    def _store(self, person: Person | None, candidate: Candidate, prepared: _Prepared) -> bool:
        """Whether the photo was new."""
        if person is None:
            person = self._gallery.find_or_add(
                candidate.name,
                external_id=candidate.external_id,
                consent=candidate.consent,
                run=self._run,
            )
        elif candidate.consent and candidate.consent != person.consent:
            self._gallery.note_consent(person.id, candidate.consent)
        for group in sorted({*candidate.groups} - {*person.groups}):
            add_to_group(self._gallery, group, [person.id])
        templates = split_parts(prepared.embedding, self._recognizer.embed.parts)
        sample = Sample(
            source=Path(candidate.place).name,
            source_sha256=prepared.sha256,
            quality=asdict(prepared.quality),
            templates={model: rows[0] for model, rows in templates.items()},
            crop=crop_png(prepared.crop) if self._keep_crops else None,
        )
        version = self._recognizer.rules.version
        added = self._gallery.add_sample(person.id, sample, run=self._run, configuration=version)
        if added is None:
            return False
        self._compared.add(person.id)
        return True


def _refused(candidate: Candidate, reason: str, detail: str) -> Enrolled:
    return Enrolled(candidate.name, candidate.place, False, reason, detail)


def _taken(photo: PhotoFaces, row: int, *, clear: bool) -> str:
    """Which face of several is taken, in words.

    Raises AmbiguousFaceError where another could as well be meant, unless that is `clear`.
    """
    if len(photo.faces) == 1:
        return ""
    others = [photo.faces[other].area for other in photo.certain if other != row]
    if not clear and max(others, default=0) > CLEAR_AREA * photo.faces[row].area:
        raise AmbiguousFaceError(
            f"{photo.name}: {len(photo.faces)} faces, and another is nearly as large as the "
            "largest",
            mend="say which one is meant, counted from 1, largest first",
            option="face",
        )
    return f"face {row + 1} of {len(photo.faces)} was taken"


def _harmless(code: str, photo: PhotoFaces, face: int) -> bool:
    """A close-up's box may reach past the border: its crop is whole as long as its face is."""
    return code == "cut" and is_whole(photo.faces[face], photo.width, photo.height)


def crop_png(crop: Crops) -> bytes:
    """A crop to keep, which says how it was cut."""
    notes, buffer = PngInfo(), BytesIO()
    notes.add_text(CUT, str(ALIGNMENT))
    Pillow.fromarray(crop[0]).save(buffer, "PNG", pnginfo=notes)
    return buffer.getvalue()


def _alignment_of(png: bytes) -> int:
    """How a kept crop was cut; the first ones do not say so."""
    with Pillow.open(BytesIO(png)) as picture:
        return int(picture.info.get(CUT, 1))
