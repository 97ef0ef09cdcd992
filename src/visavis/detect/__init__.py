"""A picture to the faces in it."""

from dataclasses import replace

from visavis.detect.scan import Decoder, ScanDetector
from visavis.detect.scrfd import decode_scrfd
from visavis.detect.yunet import decode_yunet
from visavis.errors import PackError
from visavis.pack.manifest import Pack
from visavis.pack.signatures import decoder_of
from visavis.runtime import Device, load_model
from visavis.types import Detector

DECODERS: dict[str, Decoder] = {"scrfd": decode_scrfd, "yunet": decode_yunet}

__all__ = ["DECODERS", "detector_device", "load_detector"]


def detector_device(device: str | Device) -> Device:
    """Where a detector runs: in float32, unless another precision is asked for by name.

    bfloat16 would move landmarks by half a pixel, and embeddings with them, to save little.
    """
    where = device if isinstance(device, Device) else Device(device)
    return replace(where, precision="float32") if where.precision == "auto" else where


def load_detector(
    pack: Pack,
    *,
    device: str | Device = "auto",
    min_score: float | None = None,
    tiled: bool = False,
) -> Detector:
    """The pack's detector, ready to be called with an image.

    `min_score` (0..1) replaces the pack's own. `tiled` also looks at full resolution, tile by tile:
    for faces of about 20 pixels in photos of many megapixels, at many times the cost.
    Raises PackError for a damaged file or an unknown decoder, DeviceError for a device that is not
    here.
    """
    spec = pack.manifest.detector
    try:
        decode = DECODERS[spec.decoder]
    except KeyError:
        raise PackError(
            f"{pack.folder}: unknown decoder {spec.decoder!r}; known: {', '.join(DECODERS)}"
        ) from None
    model = load_model(pack.read(spec.file, spec.sha256), spec.preprocess, detector_device(device))
    fitting = decoder_of(model.shapes)
    if fitting != spec.decoder:
        shapes = ", ".join(str(shape) for shape in model.shapes[:12])
        raise PackError(
            f"{pack.folder / spec.file}: declared for the decoder {spec.decoder}, but its outputs "
            f"fit {fitting or 'none of ' + ', '.join(DECODERS)}: {shapes}"
        )
    least = spec.min_score if min_score is None else min_score
    return ScanDetector(model, decode, least, spec.max_overlap, tiled)
