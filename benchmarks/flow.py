"""Race the flow against InsightFace, on the same ONNX files, in the same run.

    make peers && .venv/bin/python benchmarks/flow.py [--isa avx2]

SCRFD-500M detects at two scales, SFace embeds in one pass, no flip: both sides do the same work.
Runs alternate, each figure is a median, the ratio is peer / ours; what faces agree to comes after.
`--isa` limits our side to fewer instructions than the CPU has; the peer keeps all of them.
Needs $VISAVIS_DATA (default ../shared): models/scrfd_500m_kps.onnx and data/lfw_people.
"""

import argparse
import hashlib
import logging
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before insightface loads onnxruntime, which reports

import cv2
import insightface
import numpy as np
from alternating import race
from iresnet import random_iresnet50
from onnx import load, save

from visavis.alignment import align
from visavis.batch import in_order
from visavis.convert.form import Form
from visavis.convert.quantize import to_int8
from visavis.detect import load_detector
from visavis.embedder import ModelEmbedder, load_embedder
from visavis.faces import find_faces
from visavis.pack import Pack, load_pack
from visavis.pack.manifest import (
    DetectorSpec,
    EmbedderSpec,
    HashedFile,
    Manifest,
    Origin,
    read_pack,
    write_manifest,
)
from visavis.runtime import Device, Preprocess, cores, load_model

DATA = Path(os.environ.get("VISAVIS_DATA", "../shared"))
SCRFD = Preprocess("rgb", (127.5,) * 3, (128.0,) * 3)
ARCFACE = Preprocess("rgb", (127.5,) * 3, (127.5,) * 3)
ROUNDS = 15


def main() -> None:
    """Every race, in float32 and in what the CPU does best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1580, help="of the folder; default: all")
    parser.add_argument("--isa", default="", help="the most instructions OpenVINO may use: avx2")
    arguments = parser.parse_args()
    count = arguments.photos
    if arguments.isa:  # read when OpenVINO is loaded, with the first model
        os.environ["ONEDNN_MAX_CPU_ISA"] = arguments.isa.upper()
    warnings.filterwarnings("ignore")
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        pack = make_pack(Path(folder) / "race")
        peer = insightface.app.FaceAnalysis(str(pack.folder), providers=["CPUExecutionProvider"])
        peer.prepare(ctx_id=-1)
        print(f"insightface {insightface.__version__}, {cores()} cores; milliseconds, medians")
        for precision in ("auto", "float32"):
            device = Device(precision=precision)
            race_photos(pack, peer, device)
            race_folder(pack, peer, device, count)
            race_embedders(pack, peer, device, Path(folder))


def make_pack(folder: Path) -> Pack:
    """One folder that both sides load: our manifest beside the peer's file names."""
    folder.mkdir()
    shutil.copy(DATA / "models" / "scrfd_500m_kps.onnx", folder / "det_500m.onnx")
    default = load_pack()
    sface = load(default.folder / default.manifest.embedder.file)
    for node, name in zip(sface.graph.node, ("Sub_0", "Mul_0"), strict=False):
        node.name = name  # the names by which the peer knows that it must not normalise
    save(sface, folder / "rec_sface.onnx")
    origin = Origin("both sides", "see the model", "see the model")
    detector, embedder = (file_sha256(folder / f) for f in ("det_500m.onnx", "rec_sface.onnx"))
    weights = default.manifest.embedder.weights_sha256
    int8 = default.manifest.embedder.int8
    # Not .onnx: the peer loads every file of that name.
    shutil.copy(default.folder / int8.file, folder / "rec_sface.int8")
    manifest = Manifest(
        format=1,
        name="race",
        detector=DetectorSpec("det_500m.onnx", detector, "scrfd", origin, SCRFD),
        embedder=EmbedderSpec(
            "sface",
            "rec_sface.onnx",
            embedder,
            weights,
            128,
            origin,
            int8=HashedFile("rec_sface.int8", int8.sha256),
        ),
    )
    write_manifest(folder, manifest)
    return read_pack(folder)


def race_photos(pack: Pack, peer: insightface.app.FaceAnalysis, device: Device) -> None:
    """The wheel's six-face photo and one of lfw_people, decoding excluded and included."""
    detect, embed = (
        load_detector(pack, device=device),
        load_embedder(pack, device=device, flip=False),
    )
    six = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    one = sorted((DATA / "data" / "lfw_people").rglob("*.jpg"))[0]
    for name, path in (("six faces, 1280x886", six), ("lfw_people, 250x250", one)):
        bgr = cv2.imread(str(path))
        rgb = np.ascontiguousarray(bgr[..., ::-1])

        def ours(image: np.ndarray = rgb) -> tuple[list, np.ndarray]:
            faces = detect(image)
            return faces, embed(align(image, faces))

        def ours_from_file(path: Path = path) -> None:
            photo = find_faces(detect, path)
            embed(photo.crops(range(len(photo.faces))))

        report(f"{name} [{device.precision}]", lambda: peer.get(bgr), ours)
        decoded = f"{name} decoded [{device.precision}]"
        report(decoded, lambda: peer.get(cv2.imread(str(path))), ours_from_file)
        agree(peer.get(bgr), *ours())


def race_folder(pack: Pack, peer: insightface.app.FaceAnalysis, device: Device, count: int) -> None:
    """All faces of a folder's photos, from file to embeddings, and what two cores are worth."""
    paths = sorted((DATA / "data" / "lfw_people").rglob("*.jpg"))[:count]
    started = time.perf_counter()
    faces = sum(len(peer.get(cv2.imread(str(path)))) for path in paths)
    peer_rate = len(paths) / (time.perf_counter() - started)
    rates = {}
    for workers, where in (
        (1, Device(precision=device.precision, threads=1)),
        (2 * cores(), device),
    ):
        detect = load_detector(pack, device=where if workers == 1 else where.for_many())
        embed = load_embedder(pack, device=where if workers == 1 else where.for_many(), flip=False)

        def work(path: Path, detect=detect, embed=embed) -> int:
            photo = find_faces(detect, path)
            embed(photo.crops(range(len(photo.faces))))
            return len(photo.faces)

        started = time.perf_counter()
        found = sum(answer for _, answer in in_order(work, paths, workers=workers))
        rates[workers] = len(paths) / (time.perf_counter() - started)
    alone, together = rates.values()
    print(
        f"{f'folder of {len(paths)} photos [{device.precision}]':<48}"
        f"peer {peer_rate:6.1f}/s ({faces} faces)  ours {together:6.1f}/s ({found} faces)  "
        f"x{together / peer_rate:.1f}; one core {alone:.1f}/s, all x{together / alone:.2f}"
    )


def race_embedders(
    pack: Pack, peer: insightface.app.FaceAnalysis, device: Device, folder: Path
) -> None:
    """Embedding alone, by batch: SFace, and an IResNet-50 with random weights, in int8 too."""
    iresnet, small = folder / "iresnet50.onnx", folder / "iresnet50.int8"
    if not iresnet.exists():
        save(random_iresnet50(), iresnet)
        crops = np.random.default_rng(0).integers(0, 256, (32, 112, 112, 3), np.uint8)
        form = Form(load(iresnet), iresnet.read_bytes(), ARCFACE, 112, 112, 512)
        small.write_bytes(to_int8(form, crops).form.network)
    r50 = insightface.model_zoo.get_model(str(iresnet), providers=["CPUExecutionProvider"])
    rivals = {"SFace": (peer.models["recognition"], load_embedder(pack, device=device, flip=False))}
    for name, file in (("IResNet-50", iresnet), ("IResNet-50 in int8", small)):
        network = load_model(file.read_bytes(), ARCFACE, device)
        rivals[name] = r50, ModelEmbedder("r50", 512, network, flip=False)
    rng = np.random.default_rng(0)
    for name, (theirs, ours) in rivals.items():
        for batch in (1, 8, 32):
            crops = rng.integers(0, 256, (batch, 112, 112, 3), np.uint8)
            swapped = list(np.ascontiguousarray(crops[..., ::-1]))
            label = f"{name} alone, batch {batch} [{device.precision}]"
            report(label, lambda: theirs.get_feat(swapped), lambda: ours(crops))


def report(name: str, theirs: Callable[[], object], ours: Callable[[], object]) -> None:
    """One line: medians of alternating runs, and their ratio pair by pair."""
    times = race(theirs, ours, rounds=ROUNDS)
    peer, mine = (statistics.median(column) for column in times)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    print(f"{name:<48}peer {peer:8.1f}  ours {mine:8.1f}  x{ratio:.1f}", flush=True)


def agree(theirs: list, faces: list, embeddings: np.ndarray) -> None:
    """How far the same faces lie apart."""
    gaps, cosines = [], []
    for face in theirs:
        row = int(np.argmin([np.abs(face.bbox - other.box).max() for other in faces]))
        gaps.append(np.abs(face.kps - faces[row].landmarks).max())
        cosines.append(float(face.normed_embedding @ embeddings[row]))
    print(
        f"    {len(theirs)} and {len(faces)} faces, landmarks within {max(gaps):.2f} px, "
        f"cosine at least {min(cosines):.5f}"
    )


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
