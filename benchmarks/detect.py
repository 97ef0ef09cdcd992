"""Print the tables of docs/detectors.md: five detectors beside InsightFace's, and how they agree.

    make peers && .venv/bin/python benchmarks/detect.py

Times: runs alternate with those of InsightFace's own SCRFD-500M on ONNX Runtime, with rests between
the sides: medians, the median ratio of pairs, and each side's best, which other work on the machine
slows least. Needs the extra convert for three
checkpoints, and $VISAVIS_DATA (default ../shared): models/ and data/lfw_people. No picture is
written.
"""

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before insightface loads onnxruntime, which reports

import cv2
import insightface
import numpy as np
from alternating import race

from visavis.batch import in_order
from visavis.convert.detectors import convert_detector
from visavis.decode import DECODERS
from visavis.detect import ScanDetector
from visavis.evaluate.degrade import CLEAN, Degradation, degradations
from visavis.image import read_image
from visavis.pack import load_pack
from visavis.runtime import Device, Preprocess, cores, load_model
from visavis.types import Face, Image

DATA = Path(os.environ.get("VISAVIS_DATA", "../shared"))
CHECKPOINTS = {
    "RetinaFace mnet0.25": "retinaface_mobilenet025.pth",
    "YuNet-n": "yunet_n.pth",
    "YOLOv5n-0.5-face": "yolov5n-0.5-face.pt",
}
DEFAULT, PEER = "YuNet (default pack)", "SCRFD-500M"
MODEL = "scrfd_500m_kps.onnx"
ROUNDS = 25  # of a race
LEAST, OVERLAP = 0.5, 0.4
CLOSE = 0.08  # of the distance between the eyes: landmarks that agree
HARM = "tilt,mask,dark"


@dataclass(frozen=True)
class Weights:
    """A detector's file and how it is read."""

    onnx: bytes
    decoder: str
    preprocess: Preprocess

    def load(self, device: Device) -> ScanDetector:
        return ScanDetector(
            load_model(self.onnx, self.preprocess, device),
            DECODERS[self.decoder].decode,
            LEAST,
            OVERLAP,
            frame=DECODERS[self.decoder].frame,
        )


def main() -> None:
    """Times, agreement, and what tilt, masks and darkness cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1580, help="to agree on; default: all")
    parser.add_argument("--degraded", type=int, default=200, help="of them to degrade")
    parser.add_argument("--only", choices=("times", "agreement", "harm"), help="one table")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()
    paths = sorted((DATA / "data" / "lfw_people").rglob("*.jpg"))
    detectors = all_weights()
    if arguments.only in (None, "times"):
        with tempfile.TemporaryDirectory() as folder:  # the peer reads its file again, later
            print_times(detectors, paths[0], folder)
    exact = Device("cpu", precision="float32").for_many()
    loaded = {name: weights.load(exact) for name, weights in detectors.items()}
    if arguments.only in (None, "agreement"):
        print_agreement(loaded, spread(paths, arguments.photos))
        six = read_image(six_faces())
        print("\nsix faces:", {name: len(detect(six)) for name, detect in loaded.items()})
    if arguments.only in (None, "harm"):
        print_harm(loaded, spread(paths, arguments.degraded))


def all_weights() -> dict[str, Weights]:
    """The five: the default pack's, a published ONNX file, and three checkpoints, converted."""
    pack = load_pack()
    spec = pack.manifest.detector
    found = {
        DEFAULT: Weights(pack.read(spec.file, spec.sha256), spec.decoder, spec.preprocess),
        PEER: Weights(
            (DATA / "models" / MODEL).read_bytes(),
            "scrfd",
            Preprocess("rgb", (127.5,) * 3, (128.0,) * 3),
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, file in CHECKPOINTS.items():
            report = convert_detector(DATA / "models" / file, Path(folder) / "detector.onnx")
            found[name] = Weights(report.out.read_bytes(), report.decoder, report.preprocess)
            print(f"{file}: {report.parity}")
    return found


def six_faces() -> Path:
    """The photo in InsightFace's own wheel."""
    return Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"


def spread(paths: list[Path], count: int) -> list[Path]:
    """So many of them, evenly."""
    rows = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[row] for row in rows]


def print_times(detectors: dict[str, Weights], one: Path, folder: str) -> None:
    """Each of ours against the peer's SCRFD at its default scales, in both precisions."""
    shutil.copy(DATA / "models" / MODEL, folder)
    peer = insightface.app.FaceAnalysis(folder, providers=["CPUExecutionProvider"])
    peer.prepare(ctx_id=-1, det_thresh=LEAST)
    print(f"\ninsightface {insightface.__version__}, {cores()} cores; milliseconds\n")
    print("| detector | precision | photo | faces | peer's | ours | peer | ratio ", end="")
    print("| best | peer's | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, weights in detectors.items():
        for precision in ("float32", "bfloat16"):
            detect = weights.load(Device("cpu", precision=precision))
            for label, path in (("1280x886", six_faces()), ("250x250", one)):
                bgr = cv2.imread(str(path))
                rgb = np.ascontiguousarray(bgr[..., ::-1])
                theirs, ours = race(
                    lambda: peer.det_model.detect(bgr), lambda: detect(rgb), rounds=ROUNDS
                )
                faces = len(detect(rgb)), len(peer.det_model.detect(bgr)[0])
                ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
                best = min(theirs), min(ours)
                print(
                    f"| {name} | {precision} | {label} | {faces[0]} | {faces[1]} "
                    f"| {statistics.median(ours):.1f} | {statistics.median(theirs):.1f} "
                    f"| {ratio:.1f} | {best[1]:.1f} | {best[0]:.1f} | {best[0] / best[1]:.1f} |",
                    flush=True,
                )


def middle_face(faces: list[Face], image: Image) -> Face | None:
    """The one nearest the middle, whom an LFW photo is of."""
    middle = np.array(image.shape[1::-1])
    return min(
        faces, key=lambda face: np.abs(face.box[:2] + face.box[2:] - middle).sum(), default=None
    )


def look(
    detect: ScanDetector, paths: list[Path], change: Callable[[Path, Image], Image]
) -> list[Face | None]:
    """The middle face of every photo, after a change."""

    def work(path: Path) -> Face | None:
        image = change(path, read_image(path))
        return middle_face(detect(image), image)

    return [face for _, face in in_order(work, paths, workers=2 * cores())]


def print_agreement(detectors: dict[str, ScanDetector], paths: list[Path]) -> None:
    """Pair by pair."""
    found = {
        name: look(detect, paths, lambda _, image: image) for name, detect in detectors.items()
    }
    missed = {name: sum(face is None for face in faces) for name, faces in found.items()}
    print(f"\n{len(paths)} photos; without a face: {missed}")
    print("| pair | boxes agree | landmarks agree | both | median gap | 98 % within |")
    print("|---|---|---|---|---|---|")
    for a, b in combinations(detectors, 2):
        both = [(x, y) for x, y in zip(found[a], found[b], strict=True) if x and y]
        boxes = np.array([overlap(x.box, y.box) > 0.6 for x, y in both])
        gaps = np.array([gap(x.landmarks, y.landmarks) for x, y in both])
        shares = [part.sum() / len(paths) for part in (boxes, gaps < CLOSE, boxes & (gaps < CLOSE))]
        cells = [f"{100 * value:.1f} %" for value in (*shares, np.median(gaps))]
        print(f"| {a}, {b} | {' | '.join(cells)} | {100 * np.percentile(gaps, 98):.1f} % |")


def print_harm(detectors: dict[str, ScanDetector], paths: list[Path]) -> None:
    """Faces found, and how far landmarks lie from the detector's own on the clean photo, turned
    with it. All detectors see the same pictures: drawn on by the mean of all five's landmarks.
    """
    clean = {
        name: look(detect, paths, lambda _, image: image) for name, detect in detectors.items()
    }
    everyone = [faces for faces in zip(*clean.values(), strict=True) if all(faces)]
    rows = [row for row, faces in enumerate(zip(*clean.values(), strict=True)) if all(faces)]
    means = {
        paths[row]: np.mean([face.landmarks for face in faces], axis=0, dtype=np.float32)
        for row, faces in zip(rows, everyone, strict=True)
    }
    print(f"\n{len(means)} photos: share found, median error of landmarks\n")
    print("| degradation | " + " | ".join(detectors) + " |\n|---|" + "---|" * len(detectors))
    for one in (CLEAN, *degradations(HARM)):
        cells = []
        for name, detect in detectors.items():
            faces = look(
                detect, [*means], lambda path, image, one=one: one.change(image, means[path])
            )
            own = [clean[name][row].landmarks for row in rows]
            cells.append(cell(faces, own, list(means.values()), one))
        print(f"| {one.label} | " + " | ".join(cells) + " |", flush=True)


def cell(
    faces: list[Face | None], before: list[np.ndarray], means: list[np.ndarray], one: Degradation
) -> str:
    """The share found, its points within one such distance, and the median error over those."""
    degrees = {"light": 10, "medium": 20, "strong": 40}[one.strength] if one.name == "tilt" else 0
    gaps = [
        gap(turned(truth, degrees, mean.mean(axis=0)), face.landmarks)
        for face, truth, mean in zip(faces, before, means, strict=True)
        if face is not None
    ]
    errors = [one for one in gaps if one < 1]  # else it is another face, or none
    found = 100 * len(errors) / len(faces)
    return f"{found:.1f} %, {100 * statistics.median(errors):.1f} %"


def turned(points: np.ndarray, degrees: float, middle: np.ndarray) -> np.ndarray:
    """Points (5, 2), clockwise about the middle, as `tilt` turns the picture."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - middle) @ turn + middle


def gap(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of landmarks (5, 2), in distances between the eyes of the first."""
    eyes = np.linalg.norm(a[1] - a[0])
    return float(np.linalg.norm(a - b, axis=1).mean() / eyes)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


if __name__ == "__main__":
    main()
