"""Is this person in that photo, and in which of many? One portrait against every face of others.

Needs no gallery. The rate asked for is one photo's: its faces share it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache as cache_of
from pathlib import Path

import numpy as np

from visavis.batch import Progress, in_order
from visavis.compare import similarity
from visavis.decision import Calibration, Decision, Policy, decide, policy_rate
from visavis.errors import VisavisError
from visavis.facecache import FaceCache, PhotoEmbeddings
from visavis.faces import PhotoFaces
from visavis.image import Picture, open_photo
from visavis.recognizer import Recognizer
from visavis.types import Embeddings


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether one person is in a photo, by the face that is likest. True for a match alone."""

    photo: str
    decision: Decision
    face: int | None  # the likest, from 1, largest first; None for a photo without a face
    similarities: tuple[float, ...]  # of each face

    def __bool__(self) -> bool:
        return self.matched

    @property
    def matched(self) -> bool:
        """Whether it is a match: a review is none until a person has looked."""
        return self.decision.matched


@dataclass(frozen=True, slots=True)
class PhotoSearch:
    """What became of photos in which one person was looked for."""

    photos: tuple[Presence, ...]  # likest first
    failures: tuple[tuple[Path, VisavisError], ...]

    @property
    def matches(self) -> tuple[Presence, ...]:
        """The photos that show the person."""
        return tuple(one for one in self.photos if one)

    @property
    def expected_wrong(self) -> float:
        """How many photos of strangers pass in so many, at the rate that was asked for."""
        return sum(one.decision.false_positive_rate for one in self.photos if one.similarities)


def verify_any(
    recognizer: Recognizer,
    portrait: Picture,
    group: Picture,
    *,
    policy: str | float = "standard",
    face: int | None = None,
) -> Presence:
    """Is the person of a portrait anywhere in a group photo?

    Each face is compared, and gets its part of the policy's false match rate. `face` numbers the
    face meant in the portrait. Raises NoFaceError for a photo without one, and what
    `Recognizer.verify` raises.
    """
    wanted = portrait_embedding(recognizer, portrait, face)
    photo = recognizer.faces(group)
    photo.choose(1)  # raises where there is no face
    points = _points(recognizer.calibration, policy)
    (presence,) = _presences({photo.name: _embedded(recognizer, photo)}, wanted, points)
    return presence


def find_in_photos(
    recognizer: Recognizer,
    wanted: Embeddings,
    paths: Sequence[Path],
    *,
    policy: str | float = "standard",
    cache: FaceCache | None = None,
    workers: int = 1,
    progress: Progress = iter,
) -> PhotoSearch:
    """Which of these photos show the person of a `portrait_embedding` (1, D)? The likest first.

    The policy's false match rate is for each photo, shared by its faces. `cache` remembers photos
    that were looked through before: a search that was stopped goes on where it was. A photo that
    cannot be read does not stop the rest. Raises CalibrationError, OutputError for the cache.
    """
    points = _points(recognizer.calibration, policy)
    each = list(dict.fromkeys(paths))
    known = cache.known(each) if cache else {}
    photos = {str(path): faces for path, faces in known.items()}
    failures: list[tuple[Path, VisavisError]] = []

    def look(name: str) -> PhotoEmbeddings:
        return _looked_through(recognizer, Path(name), cache)

    new = (str(path) for path in each if path not in known)
    for name, answer in in_order(look, progress(new), workers=workers):
        if isinstance(answer, VisavisError):
            failures.append((Path(name), answer))
        else:
            photos[name] = answer
    presences = _presences(photos, wanted, points)
    presences.sort(key=lambda one: (-one.decision.similarity, one.photo))
    return PhotoSearch(tuple(presences), tuple(failures))


def portrait_embedding(
    recognizer: Recognizer, portrait: Picture, face: int | None = None
) -> Embeddings:
    """The embedding (1, D) of a portrait's face: number `face`, or the only or clearly largest.

    Raises NoFaceError, AmbiguousFaceError, ImageError.
    """
    photo = recognizer.faces(portrait)
    return recognizer.embed_faces(photo, [photo.choose(face)])


def _looked_through(recognizer: Recognizer, path: Path, cache: FaceCache | None) -> PhotoEmbeddings:
    """Every face of a photo, from the cache where its bytes were looked through."""
    if cache is None:
        return _embedded(recognizer, recognizer.faces(path))
    stamp = cache.stamp(path)
    encoded = open_photo(path)
    faces = cache.of_bytes(encoded.data)
    if faces is None:
        faces = _embedded(recognizer, recognizer.faces(encoded))
        cache.keep(encoded.data, faces)
    cache.note_file(path, stamp, encoded.data)
    return faces


def _embedded(recognizer: Recognizer, photo: PhotoFaces) -> PhotoEmbeddings:
    boxes = np.array([face.box for face in photo.faces], np.float32).reshape(-1, 4)
    return PhotoEmbeddings(boxes, recognizer.embed_faces(photo, range(len(photo.faces))))


def _points(calibration: Calibration, policy: str | float) -> Callable[[int], Policy]:
    """The policy of each comparison, by how many share its rate."""
    rate = policy_rate(policy)
    calibration.at(rate)  # a rate that cannot be shown at all is an error, as for verify
    return cache_of(lambda comparisons: calibration.search_policy(rate / comparisons))


def _presences(
    photos: Mapping[str, PhotoEmbeddings], wanted: Embeddings, points: Callable[[int], Policy]
) -> list[Presence]:
    """Each photo by its name; all faces of all photos are compared at once."""
    rows = [faces.embeddings for faces in photos.values() if len(faces.embeddings)]
    alike = similarity(wanted, np.concatenate(rows))[0].tolist() if rows else []
    presences, start = [], 0
    for name, faces in photos.items():
        count = len(faces.embeddings)
        similarities = tuple(alike[start : start + count])
        start += count
        best = max(similarities, default=-1.0)
        decision = decide(best, points(max(1, count)), comparisons=max(1, count))
        face = similarities.index(best) + 1 if similarities else None
        presences.append(Presence(name, decision, face, similarities))
    return presences
