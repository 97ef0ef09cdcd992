"""visavis: face recognition that states its error rate.

    from visavis import Recognizer

    verification = Recognizer.load().verify("a.jpg", "b.jpg")
    print(verification.decision.outcome, verification.decision.similarity)

Importing this loads nothing: each name loads its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visavis.alignment import align
    from visavis.compare import similarity
    from visavis.decision import (
        Calibration,
        Decision,
        OperatingPoint,
        Policy,
        decide,
        read_calibration,
    )
    from visavis.detect import load_detector
    from visavis.draw import draw_faces, write_image
    from visavis.embed import load_embedder
    from visavis.enrollment import Candidate, Enrolled, enroll
    from visavis.errors import VisavisError
    from visavis.faces import PhotoFaces, find_faces
    from visavis.gallery import Gallery, Person, open_gallery
    from visavis.image import Limits, read_image
    from visavis.pack import load_pack
    from visavis.pack.calibration import load_calibration
    from visavis.quality import Quality, assess
    from visavis.recognizer import Identification, Recognizer, Verification
    from visavis.runtime import Device
    from visavis.types import Crops, Detector, Embedder, Embeddings, Face, Image

__version__ = "0.1.0"

_MODULES = {
    "alignment": ("align",),
    "compare": ("similarity",),
    "decision": (
        "Calibration",
        "Decision",
        "OperatingPoint",
        "Policy",
        "decide",
        "read_calibration",
    ),
    "detect": ("load_detector",),
    "draw": ("draw_faces", "write_image"),
    "embed": ("load_embedder",),
    "enrollment": ("Candidate", "Enrolled", "enroll"),
    "errors": ("VisavisError",),
    "faces": ("PhotoFaces", "find_faces"),
    "gallery": ("Gallery", "Person", "open_gallery"),
    "image": ("Limits", "read_image"),
    "pack": ("load_pack",),
    "pack.calibration": ("load_calibration",),
    "quality": ("Quality", "assess"),
    "recognizer": ("Identification", "Recognizer", "Verification"),
    "runtime": ("Device",),
    "types": ("Crops", "Detector", "Embedder", "Embeddings", "Face", "Image"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Calibration",
    "Candidate",
    "Crops",
    "Decision",
    "Detector",
    "Device",
    "Embedder",
    "Embeddings",
    "Enrolled",
    "Face",
    "Gallery",
    "Identification",
    "Image",
    "Limits",
    "OperatingPoint",
    "Person",
    "PhotoFaces",
    "Policy",
    "Quality",
    "Recognizer",
    "Verification",
    "VisavisError",
    "align",
    "assess",
    "decide",
    "draw_faces",
    "enroll",
    "find_faces",
    "load_calibration",
    "load_detector",
    "load_embedder",
    "load_pack",
    "open_gallery",
    "read_calibration",
    "read_image",
    "similarity",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'visavis' has no attribute {name!r}")
    value = getattr(import_module(f"visavis.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
