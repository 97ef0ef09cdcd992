"""What converting costs, and what converted networks are worth: accuracy, speed, time, memory.

    python benchmarks/convert.py            # all parts, half an hour on two cores
    python benchmarks/convert.py int8       # one of them

Accuracy is LFW's View 2, 6,000 pairs. Int8 is calibrated on 200 crops of lfw_people that no pair
names, cut by the default pack's detector. Speeds are OpenVINO's, sides alternate with a rest before
each, and a ratio is the median of pairs. Needs $VISAVIS_DATA (default ../shared): data and models.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from alternating import race

from visavis.alignment import align
from visavis.checkpoints.checkpoint import Checkpoint, load_checkpoint
from visavis.checkpoints.families import FAMILIES
from visavis.convert.export import to_onnx
from visavis.convert.form import DeclaredPixels, Form, read_form
from visavis.convert.judge import gain_words
from visavis.convert.parity import prove
from visavis.convert.quantize import PRESETS, Smaller, to_float16, to_int8
from visavis.convert.tflite import prove_tflite, tflite_int8, to_tflite
from visavis.dataset import Pairs, Tree, open_pairs
from visavis.detect import load_detector
from visavis.evaluate.protocols import CropSource, embed_pairs, similarities, verification
from visavis.image import read_image
from visavis.metrics.fusion import gains
from visavis.networks.iresnet import IResNet
from visavis.pack import load_pack
from visavis.runtime import Device, load_model
from visavis.types import Crops

DATA = Path(os.environ.get("VISAVIS_DATA", "../shared"))
EXACT, BF16, AUTO = Device(precision="float32"), Device(precision="bfloat16"), Device()
ROUNDS = 60  # of a race


def main() -> None:
    """Each part in a process of its own, so that its peak memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=PARTS, help="in this process; all without")
    part = parser.parse_args().part
    if part:
        PARTS[part]()
        return
    for name in PARTS:
        print(f"{name}:", flush=True)
        subprocess.run([sys.executable, __file__, name], check=True)


def accuracy() -> None:
    """The two MobileFaceNets, converted: in one pass, and with the mirrored crop added."""
    for file in ("mobilefacenet_foamliu.pt", "mobilefacenet_xiaoccer_068.ckpt"):
        checkpoint, form = converted(file)
        worst = max(gap.cosine for gap in prove(checkpoint, form.network))
        print(f"  {file}: {form.width}x{form.height}, 1 - cosine to PyTorch {worst:.1e}")
        for device in (EXACT, AUTO):
            for flip in (False, True):
                tree, pairs = lfw()
                embed = form.embedder(device=device, flip=flip)
                result = verification(pairs, embed_pairs(CropSource(tree), pairs, embed)[1])
                print(
                    f"    {device.precision:<8} {'flip' if flip else 'one pass':<9}"
                    f"{100 * (result.accuracy or 0):.2f} %, TAR@FAR 1e-3 "
                    f"{100 * result.tar['1e-3']:.2f} %",
                    flush=True,
                )


def int8() -> None:
    """SFace and foamliu in int8 by either preset, against bf16 on the same pairs."""
    for name, form in networks().items():
        before, others = similarity(form, BF16)
        print(f"  {name}, bf16: {before:.2f} %")
        for preset in PRESETS:
            started = time.perf_counter()
            smaller = to_int8(form, calibration(), preset=preset)
            took = time.perf_counter() - started
            after, found = similarity(smaller.form, AUTO)
            gain, _ = gains(lfw()[1], found, others, far=1e-3)
            print(f"  {name}, int8 {preset}: {after:.2f} %, {gain_words(gain)}")
            print(f"    quantised in {took:.0f} s, {sizes(form, smaller)}", flush=True)
        print(f"  {name}, float16 weights: {sizes(form, to_float16(form))}")


def speed() -> None:
    """The same files, in OpenVINO."""
    for name, form in networks().items():
        sides = {"bf16": (form, BF16), "float32": (form, EXACT)}
        for preset in PRESETS:
            sides[f"int8 {preset}"] = to_int8(form, calibration(), preset=preset).form, AUTO
        print_race(name, sides)


def tflite() -> None:
    """foamliu as TFLite: float32, and both kinds of int8, against PyTorch on real crops."""
    checkpoint, _ = converted("mobilefacenet_foamliu.pt")
    crops, preprocess = calibration(), checkpoint.preprocess
    started = time.perf_counter()
    whole = to_tflite(checkpoint)
    print(f"  float32: {time.perf_counter() - started:.0f} s")
    files = {
        "float32": whole,
        "dynamic": tflite_int8(whole, "dynamic", preprocess),
        "static": tflite_int8(whole, "static", preprocess, crops=crops),
    }
    for kind, data in files.items():
        started = time.perf_counter()
        proof = prove_tflite(checkpoint, data, crops=crops[:50], int8=kind != "float32")
        print(
            f"  {kind}: {len(data) / 1e6:.2f} MB, input {proof.input.type} {proof.input.shape}, "
            f"cosine {proof.closeness.mean:.6f}, at worst {proof.closeness.worst:.6f}",
            flush=True,
        )


def iresnet() -> None:
    """An IResNet-50 with random weights: seconds and memory from weights to proof."""
    torch.manual_seed(0)
    family = FAMILIES["arcface_torch"]
    network = IResNet(50).eval()
    checkpoint = Checkpoint(
        network, family, family.preprocess, 112, 112, "random weights", "0" * 64, {}
    )
    started = time.perf_counter()
    form = to_onnx(checkpoint)
    traced = time.perf_counter() - started
    gaps = prove(checkpoint, form.network)
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  {len(form.onnx) / 1e6:.0f} MB, traced in {traced:.1f} s, proved by {took:.1f} s, peak "
        f"{peak:.1f} GiB, 1 - cosine {max(gap.cosine for gap in gaps):.1e}"
    )


PARTS = {"accuracy": accuracy, "int8": int8, "speed": speed, "tflite": tflite, "iresnet": iresnet}


def networks() -> dict[str, Form]:
    """What is made smaller."""
    pack = load_pack()
    spec = pack.manifest.embedder
    pixels = DeclaredPixels(spec.preprocess.color, spec.preprocess.mean, spec.preprocess.std)
    sface = read_form(pack.read(spec.file, spec.sha256), pixels)
    return {"SFace": sface, "foamliu": converted("mobilefacenet_foamliu.pt")[1]}


def sizes(form: Form, smaller: Smaller) -> str:
    """A smaller file's size and closeness, in words."""
    close = smaller.closeness
    return (
        f"{len(form.onnx) / 1e6:.1f} to {len(smaller.form.onnx) / 1e6:.1f} MB, cosine to float32 "
        f"{close.mean:.5f}, at worst {close.worst:.5f}"
    )


def print_race(name: str, sides: dict[str, tuple[Form, Device]]) -> None:
    """Milliseconds a call, one crop and eight; ratios to bf16, pair by pair."""
    models = {
        side: load_model(form.network, form.preprocess, device)
        for side, (form, device) in sides.items()
    }
    for batch in (1, 8):
        crops = np.random.default_rng(0).integers(0, 256, (batch, 112, 112, 3), np.uint8)
        calls = [partial(model, crops) for model in models.values()]
        times = dict(zip(models, race(*calls, rounds=ROUNDS), strict=True))
        for side, taken in times.items():
            ratios = [a / b for a, b in zip(times["bf16"], taken, strict=True)]
            middle, least = statistics.median(taken), min(taken)
            print(
                f"  {name}, batch {batch}, {side:<17} median {middle:6.2f} ms, least "
                f"{least:6.2f} ms, x{statistics.median(ratios):.2f}",
                flush=True,
            )


def similarity(form: Form, device: Device) -> tuple[float, np.ndarray]:
    """Accuracy in percent with the mirrored crop added, and each pair's similarity."""
    tree, pairs = lfw()
    embedded = embed_pairs(CropSource(tree), pairs, form.embedder(device=device))[1]
    found = similarities(pairs, embedded)
    return 100 * (verification(pairs, embedded, found).accuracy or 0), found


def converted(file: str) -> tuple[Checkpoint, Form]:
    """A checkpoint, and it as ONNX."""
    checkpoint = load_checkpoint(DATA / "models" / file)
    return checkpoint, to_onnx(checkpoint)


@cache
def lfw() -> tuple[Tree, Pairs]:
    """The crops, and their 6,000 pairs."""
    return open_pairs(DATA / "data" / "lfw_aligned_112.zip")


@cache
def calibration(count: int = 200) -> Crops:
    """Crops of lfw_people's photos that are in no pair."""
    tested = {PurePosixPath(name).name for name in lfw()[0].names()}
    photos = sorted((DATA / "data" / "lfw_people").rglob("*.jpg"))
    left = [photo for photo in photos if photo.name not in tested]
    detect = load_detector(load_pack())

    def found() -> Iterator[Crops]:
        for row in np.random.default_rng(0).permutation(len(left)):
            image = read_image(left[row])
            yield align(image, detect(image)[:1])

    crops: list[Crops] = []
    for one in found():
        crops.extend(one[:, None])
        if len(crops) == count:
            break
    return np.concatenate(crops)


if __name__ == "__main__":
    main()
