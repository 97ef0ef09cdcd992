"""What the service takes at most. Whoever asks for more is refused before it is read."""

from dataclasses import dataclass

from visavis.image import Limits

MEGABYTE = 1_000_000
MULTIPART = "multipart/form-data"  # the one form in which photos come
# Beyond the photos themselves: names of fields, and what stands between them.
ROOM = MEGABYTE // 4
PHOTO = Limits(bytes=15 * MEGABYTE, pixels=40_000_000, side=12_000)


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """The largest request that is answered, and how long it may take to arrive."""

    photo: Limits = PHOTO
    photos: int = 8  # in a request
    fields: int = 32  # of a form, besides photos
    field: int = 20_000  # bytes of one
    archive: int = 500 * MEGABYTE  # bytes of a zip to import
    archived: int = 20_000  # files in one
    growth: int = 100  # times its size that they may have
    bodies: int = 256 * MEGABYTE  # bytes of all requests that are being read
    faces: int = 256  # in a photo
    patience: float = 15.0  # seconds that a request may stall
    pace: float = 50_000.0  # bytes a second that it must arrive with after that, on the average
    decoding: float = 10.0  # seconds that a photo may take to be decoded
    failures: int = 20  # wrong keys a minute, from one address

    def body(self, photos: int) -> int:
        """Bytes of a request with so many photos."""
        return photos * self.photo.bytes + ROOM


SERVE_LIMITS = ServeLimits()
