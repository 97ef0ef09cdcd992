"""Many photos against a gallery, and a note of who was seen. Knows no words and no pictures."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from visavis.batch import in_order
from visavis.errors import VisavisError
from visavis.faces import PhotoFaces
from visavis.gallery import Gallery
from visavis.recognizer import Recognizer
from visavis.results import Identification

# Called in the thread that searched a photo, before its answer is yielded.
Look = Callable[[Path, PhotoFaces, tuple[Identification, ...]], None]
# A photo with its faces, or with the error that it failed with.
Answered = tuple[Path, tuple[Identification, ...] | VisavisError]


def identify_photos(
    recognizer: Recognizer,
    gallery: Gallery,
    paths: Sequence[Path],
    *,
    false_positive_rate: float | None = None,
    among: str | None = None,
    workers: int = 1,
    look: Look = lambda path, photo, faces: None,
) -> Iterator[Answered]:
    """Each photo with who is in it, in order; a photo that cannot be read does not stop the rest.

    Those who were matched are noted as seen at the end, in one write, also where the reader stops
    before. A gallery that cannot be written answers all the same, with one warning in the log.
    """
    seen: set[str] = set()

    def identify(path: Path) -> tuple[Identification, ...]:
        photo = recognizer.faces(path)
        faces = recognizer.search(
            photo, gallery, false_positive_rate=false_positive_rate, among=among
        )
        look(path, photo, faces)
        return faces

    try:
        for path, answer in in_order(identify, paths, workers=workers):
            if not isinstance(answer, VisavisError):
                seen |= {face.person.id for face in answer if face.person is not None}
            yield path, answer
    finally:
        gallery.note_seen(seen)
