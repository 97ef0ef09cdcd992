"""The proof in the installed insightface package: it loads the folder and gives our embeddings."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.errors import NoFaceError, PackError
from visavis.faces import find_faces
from visavis.pack.manifest import Pack
from visavis.runtime import Device
from visavis.runtime.onnxruntime import import_onnxruntime, onnxruntime_errors
from visavis.types import Embeddings, Face, Image

EXACT = Device("cpu", precision="float32")
LEAST_COSINE = 0.9999  # of its embedding to ours: the crops are cut by two programs


@dataclass(frozen=True, slots=True)
class Proof:
    """What the insightface package made of a photo, beside what we make of it."""

    version: str  # of insightface
    faces: int  # of ours; their landmarks were given to both
    cosine: float  # the least of these faces' embeddings, theirs to ours
    found: int  # faces its own detector finds in the photo
    tasks: tuple[str, ...]  # that it loaded, in its words


def prove_in_insightface(folder: Path, pack: Pack, photo: Path) -> Proof:
    """Load a folder in insightface's FaceAnalysis, give both sides the same landmarks, and compare
    embeddings.

    Raises PackError where the package is not installed, does not load the folder, finds no face, or
    gives other embeddings; NoFaceError where we find no face.
    """
    scanned = find_faces(load_detector(pack), photo, max_side=None)
    rows = [row for row, face in enumerate(scanned.faces) if face.has_landmarks]
    faces = [scanned.shown(row) for row in rows]
    if not faces:
        raise NoFaceError(
            f"{photo}: no face found to prove the folder with",
            mend="give another photo",
            option="photo",
        )
    ours = load_embedder(pack, device=EXACT, flip=False)(scanned.crops(rows))
    bgr = np.ascontiguousarray(scanned.image[..., ::-1])
    with _quiet(), _named(folder):
        release, app = _loaded(folder)
        theirs = np.stack([_embedded(app, bgr, face) for face in faces])
        their_faces = app.get(bgr)
    cosine = least_cosine(ours, theirs)
    if not cosine >= LEAST_COSINE:
        raise PackError(
            f"{folder.name}: insightface {release} embeds the faces of {photo} differently: cosine "
            f"{cosine:.5f}, expected {LEAST_COSINE} or more"
        )
    if not their_faces:
        raise PackError(f"{folder.name}: insightface {release} finds no face in {photo}")
    return Proof(release, len(faces), cosine, len(their_faces), tuple(app.models))


def least_cosine(a: Embeddings, b: Embeddings) -> float:
    """The least cosine of unit rows (N, D), each with the row of the same place in the other."""
    return float(np.einsum("nd,nd->n", a.astype(np.float64), b.astype(np.float64)).min())


def _loaded(folder: Path) -> tuple[str, Any]:
    try:
        import_onnxruntime()  # before insightface does, which would let it report
        import insightface
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise PackError(
            f"the proof needs the insightface package: {error}",
            mend="pip install insightface, or write the folder without a proof",
        ) from error
    app = FaceAnalysis(str(folder.absolute()), providers=["CPUExecutionProvider"])
    app.prepare(ctx_id=-1)
    if "recognition" not in app.models:
        raise PackError(f"{folder.name}: insightface loads no recogniser from it")
    return str(insightface.__version__), app


def _embedded(app: Any, bgr: Image, face: Face) -> np.ndarray:
    from insightface.app.common import Face as Theirs

    one = Theirs(bbox=face.box, kps=face.landmarks, det_score=face.score)
    app.models["recognition"].get(bgr, one)
    embedding: np.ndarray = one.normed_embedding
    return embedding


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Turn the package's assertions, and its runtime's errors, into errors of the folder."""
    what = f"{folder.name}: insightface cannot use it"
    try:
        with onnxruntime_errors(PackError, what):
            yield
    except (AssertionError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise PackError(f"{what}: {error!r}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the package prints, and a warning about its use of scikit-image."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`estimate` is deprecated", FutureWarning)
        yield
