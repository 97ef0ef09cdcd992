"""The usual questions in a line each, on models that are loaded once and shared.

Knows which models to load and which gallery is meant; everything else is asked of other rooms.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from visavis.clustering import Clustering, cluster_photos
from visavis.configuration import parse_configuration
from visavis.dataset import find_photos
from visavis.document import to_bytes
from visavis.embedder import choose_models
from visavis.embeddings import EmbeddedFace, embed_all
from visavis.errors import VisavisError
from visavis.facecache import FaceCache, models_of
from visavis.gallery import Gallery, default_gallery, open_gallery
from visavis.gallery.configurations import active_configuration
from visavis.image import Picture
from visavis.pack import DEFAULT_PACK
from visavis.presence import PhotoSearch, find_in_photos, portrait_embedding
from visavis.recognizer import Recognizer
from visavis.results import Identification, Verification
from visavis.runtime import Device, cores
from visavis.types import Embeddings

# A photo, a folder, a pattern, or several of them.
PhotoSources = str | Path | Iterable[str | Path]


@cache
def shared_recognizer(pack: str | Path = DEFAULT_PACK, *, many: bool = False) -> Recognizer:
    """A pack's models, loaded at the first call: for one photo at a time, or for many."""
    device = Device("auto")
    return Recognizer.load(pack, device.for_many() if many else device)


def _recognizer_of(people: Gallery, pack: str | Path | None) -> Recognizer:
    configuration = None if pack else active_configuration(people)
    if configuration is None:
        return shared_recognizer(pack or DEFAULT_PACK)
    return _configured(to_bytes(configuration))


@cache
def _configured(document: bytes) -> Recognizer:
    return Recognizer.of(parse_configuration(document, "the gallery"))


def verify(
    a: Picture, b: Picture, *, policy: str | float = "standard", pack: str | Path = DEFAULT_PACK
) -> Verification:
    """Are these two photos of one person? True for a match alone: `if visavis.verify(a, b):`.

    `.decision.outcome` is match, review (look yourself) or no_match. Raises ImageError,
    NoFaceError, AmbiguousFaceError, CalibrationError.
    """
    return shared_recognizer(pack).verify(a, b, policy=policy)


def identify(
    photo: Picture,
    gallery: Gallery | str | Path | None = None,
    *,
    false_positive_rate: float | None = None,
    pack: str | Path | None = None,
) -> tuple[Identification, ...]:
    """Who is in this photo? Each face, largest first; `.person` is set for a match alone.

    `gallery` is an open one, or its folder; None for the user's own. Without a pack its active
    configuration decides, or the default pack; without a rate the configuration's, or 1e-2. Raises
    ImageError, GalleryError where there is no gallery, MismatchError where it is of another model.
    """
    people = gallery
    if not isinstance(people, Gallery):
        people = open_gallery(people or default_gallery(), create=False)
    try:
        recognizer = _recognizer_of(people, pack)
        return recognizer.identify(photo, people, false_positive_rate=false_positive_rate)
    finally:
        if people is not gallery:
            people.close()


def find(
    portrait: Picture,
    photos: PhotoSources,
    *,
    policy: str | float = "standard",
    face: int | None = None,
    remember: bool = True,
    pack: str | Path = DEFAULT_PACK,
) -> PhotoSearch:
    """Which of these photos show the person of a portrait? `.photos`, the likest first; `.matches`.

    With `remember` the photos' faces are kept in the user's cache folder, so that the next
    question is quick: docs/find.md. A portrait that cannot be read raises a VisavisError;
    photos that cannot be read are in `.failures`.
    """
    recognizer = shared_recognizer(pack, many=True)
    wanted = portrait_embedding(recognizer, portrait, face)
    kept = _cache(pack) if remember else None
    try:
        return find_in_photos(
            recognizer, wanted, _paths(photos), policy=policy, cache=kept, workers=2 * cores()
        )
    finally:
        if kept is not None:
            kept.close()


def cluster(
    photos: PhotoSources,
    out: str | Path | None = None,
    *,
    policy: str | float = "standard",
    pack: str | Path = DEFAULT_PACK,
) -> Clustering:
    """Group the faces of photos by likeness: `.groups.groups`, largest first; `.failures`.

    With `out` the groups, their crops and a page to look at are written to that new folder.
    """
    folder = None if out is None else Path(out)
    recognizer = shared_recognizer(pack, many=True)
    return cluster_photos(recognizer, _paths(photos), folder, policy=policy, workers=2 * cores())


def embed(photo: Picture, *, pack: str | Path = DEFAULT_PACK) -> Embeddings:
    """The embeddings (N, D) of a photo's faces, largest first: unit rows, none without a face."""
    recognizer = shared_recognizer(pack)
    faces = recognizer.faces(photo)
    return recognizer.embed_faces(faces, range(len(faces.faces)))


def embed_photos(
    photos: PhotoSources, *, every: bool = True, pack: str | Path = DEFAULT_PACK
) -> Iterator[tuple[Path, list[EmbeddedFace] | VisavisError]]:
    """Each photo with its faces' embeddings, in order: `every` face, or the largest alone.

    In the place of the faces of a photo that cannot be read, or has none, stands the error.
    """
    recognizer = shared_recognizer(pack, many=True)
    models = (recognizer.detect, recognizer.embed)
    return embed_all(_paths(photos), *models, every=every, workers=2 * cores())


def _cache(pack: str | Path) -> FaceCache:
    models = choose_models(pack)
    return FaceCache(models_of(models.detector, models.model))


def _paths(photos: PhotoSources) -> list[Path]:
    return find_photos([photos] if isinstance(photos, str | Path) else photos)
