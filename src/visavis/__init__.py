"""visavis: face recognition that states its error rate.

    import visavis

    if visavis.verify("a.jpg", "b.jpg"):                # are these two photos of one person?
        ...
    visavis.identify("party.jpg", "gallery/")           # who is in this photo? each face
    visavis.find("portrait.jpg", "photos/").matches     # which photos show this person?
    visavis.cluster("photos/")                          # who may be one person?
    visavis.embed("party.jpg")                          # (N, D) unit rows, a row for each face

An answer has an outcome, `.decision.outcome`:

    match       of one person; how often that is wrong is `.decision.false_positive_rate`
    review      alike, but not so much that the error rate allows it: look yourself
    no_match    not alike enough

An answer is true for a match alone (`if answer:`, `answer.matched`), and `.person` is set for a
match alone; who is closest, however unlike, is `.closest`. Whatever visavis raises on purpose is a
VisavisError, which says what was expected, what came, and how to mend it.

The models of the default pack are loaded at the first question. `Recognizer` is the same with every
option, `Gallery("gallery/")` the known people, `enroll` adds to them. Importing this loads nothing:
each name loads its module when it is first used.
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
    from visavis.embedder import load_embedder
    from visavis.embeddings import EmbeddedFace
    from visavis.enrollment import Candidate, Enrolled, enroll
    from visavis.errors import VisavisError
    from visavis.faces import PhotoFaces, find_faces
    from visavis.gallery import Gallery, Person, open_gallery
    from visavis.image import Limits, read_image
    from visavis.pack import load_pack
    from visavis.pack.calibration import load_calibration
    from visavis.presence import PhotoSearch, Presence
    from visavis.quality import Quality, assess
    from visavis.recognizer import Recognizer
    from visavis.results import Identification, Verification
    from visavis.runtime import Device
    from visavis.shortcuts import cluster, embed, embed_photos, find, identify, verify
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
    "embedder": ("load_embedder",),
    "embeddings": ("EmbeddedFace",),
    "enrollment": ("Candidate", "Enrolled", "enroll"),
    "errors": ("VisavisError",),
    "faces": ("PhotoFaces", "find_faces"),
    "gallery": ("Gallery", "Person", "open_gallery"),
    "image": ("Limits", "read_image"),
    "pack": ("load_pack",),
    "pack.calibration": ("load_calibration",),
    "presence": ("PhotoSearch", "Presence"),
    "quality": ("Quality", "assess"),
    "recognizer": ("Recognizer",),
    "results": ("Identification", "Verification"),
    "runtime": ("Device",),
    "shortcuts": ("cluster", "embed", "embed_photos", "find", "identify", "verify"),
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
    "EmbeddedFace",
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
    "PhotoSearch",
    "Policy",
    "Presence",
    "Quality",
    "Recognizer",
    "Verification",
    "VisavisError",
    "align",
    "assess",
    "cluster",
    "decide",
    "draw_faces",
    "embed",
    "embed_photos",
    "enroll",
    "find",
    "find_faces",
    "identify",
    "load_calibration",
    "load_detector",
    "load_embedder",
    "load_pack",
    "open_gallery",
    "read_calibration",
    "read_image",
    "similarity",
    "verify",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'visavis' has no attribute {name!r}")
    value = getattr(import_module(f"visavis.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names alone: what is here for its own use, and rooms already loaded, are not."""
    return sorted([*__all__, "__all__", "__doc__", "__name__", "__version__"])
