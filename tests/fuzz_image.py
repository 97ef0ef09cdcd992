"""Whatever the bytes, the image door gives a picture or an ImageError, and soon.

    python tests/fuzz_image.py -runs=100000 -max_len=4096 FOLDER_FOR_NEW tests/corpus/image

Needs atheris; without it tests/test_fuzz.py runs the corpus alone.
"""

import sys
import warnings

MAX_SIDE = 64


def one_input(data: bytes) -> None:
    """Read bytes as a picture, as a service with small limits would."""
    # Imported late, so that atheris can instrument what is imported.
    from visavis.errors import ImageError
    from visavis.image import Limits, read_image

    limits = Limits(bytes=1_000_000, pixels=4_000_000, side=4000)
    try:
        image = read_image(data, max_side=MAX_SIDE, limits=limits)
    except ImageError:
        return
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.dtype == "uint8"
    assert 1 <= max(image.shape[:2]) <= MAX_SIDE


if __name__ == "__main__":
    import atheris

    warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
    with atheris.instrument_imports(include=["visavis", "PIL"]):
        one_input(b"")
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
