"""Pictures that are crops already. Cuts none."""

from visavis.errors import ImageError
from visavis.image import read_image
from visavis.types import Image

SIDE = 112  # pixels of a crop


def read_crop(data: bytes) -> Image:
    """Decode a crop: (112, 112, 3). Raises ImageError for what is none, or cannot be decoded."""
    image = read_image(data)
    if image.shape != (SIDE, SIDE, 3):
        raise ImageError(
            f"expected a {SIDE}x{SIDE} crop, got {image.shape[1]}x{image.shape[0]}: "
            "align it first, with --align, or into files with visavis people cluster"
        )
    return image
