"""A picture to the faces in it."""

from dataclasses import replace
from functools import partial

from visavis.detect.boxes import Frame
from visavis.detect.retinaface import decode_retinaface
from visavis.detect.scan import Decoder, Found, ScanDetector, search
from visavis.detect.scrfd import decode_scrfd
from visavis.detect.yolov5face import decode_yolov5face
from visavis.detect.yunet import decode_yunet
from visavis.errors import PackError
from visavis.pack.manifest import DetectorSpec, Pack
from visavis.pack.signatures import check_network
from visavis.runtime import Device, load_model
from visavis.types import Detector

DECODERS: dict[str, Decoder] = {
    "retinaface": decode_retinaface,
    "scrfd": decode_scrfd,
    "yolov5face": decode_yolov5face,
    "yunet": decode_yunet,
}
# What a decoder's networks were trained to see around a picture, and their largest stride; the
# others: 0 and 32.
FRAMES = {"yolov5face": Frame(multiple=64, padding=114)}

__all__ = ["DECODERS", "Found", "detector_device", "load_detector", "search"]


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
    max_faces: int | None = None,
    min_size: float = 0,
    tiled: bool = False,
) -> Detector:
    """The pack's detector, ready to be called with an image.

    `min_score` (0..1) replaces the pack's own. `max_faces` keeps the largest; `min_size` leaves out
    faces whose box's shorter side has fewer pixels. `tiled` also looks at full resolution, tile by
    tile: for faces of about 20 pixels in photos of many megapixels, at many times the cost.
    Raises PackError for a damaged file or an unknown decoder, DeviceError for a device that is not
    here.
    """
    spec = pack.manifest.detector
    source = str(pack.folder / spec.file)
    decode = _decoder(spec, str(pack.folder))
    model = load_model(pack.read(spec.file, spec.sha256), spec.preprocess, detector_device(device))
    check_network(spec, model.shapes, model.size, source)
    return ScanDetector(
        model,
        decode,
        spec.min_score if min_score is None else min_score,
        spec.max_overlap,
        tiled,
        frame=_frame(model.size, spec),
        max_faces=max_faces,
        min_size=min_size,
    )


def _decoder(spec: DetectorSpec, source: str) -> Decoder:
    """The decoder that is declared, told what is declared with it."""
    try:
        decode = DECODERS[spec.decoder]
    except KeyError:
        raise PackError(
            f"{source}: unknown decoder {spec.decoder!r}; known: {', '.join(DECODERS)}"
        ) from None
    if spec.anchors is None and not spec.squashed_landmarks:
        return decode
    return partial(decode_yolov5face, anchors=spec.anchors, squashed=spec.squashed_landmarks)


def _frame(size: tuple[int, int] | None, spec: DetectorSpec) -> Frame:
    usual = FRAMES.get(spec.decoder, Frame())
    padding = usual.padding if spec.padding is None else spec.padding
    return Frame(size, usual.multiple, padding)
