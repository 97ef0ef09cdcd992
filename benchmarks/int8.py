"""The default pack's embedder in int8: how its ranges are measured, what it costs, what it gains.

    python benchmarks/int8.py ranges --out src/visavis/pack/int8.json
    python benchmarks/int8.py accuracy             # LFW's 6,000 pairs, with flip
    python benchmarks/int8.py speed [--isa avx2]   # against float32 and bfloat16, by turns

Ranges are of 200 crops of lfw_people that no pair of LFW names. Accuracy is of every form alone and
of int8 probes against float32 templates; differences are drawn over people, the same for both.
Needs $VISAVIS_DATA (default ../shared).
"""

import argparse
import os
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
from alternating import race
from onnx import helper

from visavis.convert.judge import gain_words
from visavis.embedder import load_embedder
from visavis.evaluate.protocols import CropSource, Embedded, embed_pairs, similarities, verification
from visavis.metrics.fusion import gains
from visavis.pack import load_pack
from visavis.pack.dequantise import parsed
from visavis.runtime import Device, load_model

EXACT = Device("cpu", precision="float32")
SHARES = np.linspace(0.3, 1, 29)  # of the least and greatest value, that are tried as a range
STEPS = 255
MOST_VALUES = 20_000  # of a tensor and batch that are looked at
CRUDE = "_mulscalar0"  # the pixels: eight bits and AVX2's sums of 16 bits lose too much there
BATCHES = (1, 2, 8)
ROUNDS = 40


def main() -> None:
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("ranges", "accuracy", "speed"))
    parser.add_argument("--out", type=Path, help="where to write the ranges")
    parser.add_argument("--isa", default="", help="the most instructions OpenVINO may use: avx2")
    arguments = parser.parse_args()
    if arguments.isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = arguments.isa.upper()
    if arguments.part == "ranges":
        ranges(arguments.out)
    else:
        {"accuracy": accuracy, "speed": speed}[arguments.part]()


def ranges(out: Path | None) -> None:
    """Of the input of every convolution and matrix product but the first: least squared error."""
    from convert import calibration

    spec = load_pack().manifest.embedder
    model = parsed(load_pack().read(spec.file, spec.sha256))
    products = (node.input[0] for node in model.graph.node if is_dense(node))
    names = [name for name in dict.fromkeys(products) if name != CRUDE]
    model.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names)
    network = load_model(model.SerializeToString(), spec.preprocess, EXACT)
    crops, seen = calibration(), {name: [] for name in names}
    rng = np.random.default_rng(0)
    for start in range(0, len(crops), 10):
        for name, values in zip(names, network(crops[start : start + 10])[1:], strict=True):
            flat = values.ravel()
            ends = [flat.min(), flat.max()]
            seen[name].append(np.concatenate([ends, rng.choice(flat, MOST_VALUES)]))
    rows = [f'  "{name}": {list(best_range(np.concatenate(seen[name])))}' for name in names]
    text = "{\n" + ",\n".join(rows) + "\n}\n"
    out.write_text(text) if out else print(text)


def is_dense(node) -> bool:
    """Whether it is where the time goes: in depthwise convolutions, a twentieth of the products, a
    third of what int8 does to an embedding would be done.
    """
    named = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return node.op_type == "Gemm" or (node.op_type == "Conv" and named.get("group", 1) == 1)


def best_range(values: np.ndarray) -> tuple[float, float]:
    """The share of the values' ends that 256 steps reproduce with the least squared error."""

    def error(ends: tuple[float, float]) -> float:
        scale = (ends[1] - ends[0]) / STEPS
        zero = round(-ends[0] / scale)
        steps = np.clip(np.round(values / scale) + zero, 0, STEPS)
        return float((((steps - zero) * scale - values) ** 2).mean())

    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    low, high = min(((low * share, high * share) for share in SHARES), key=error)
    return float(f"{low:.4g}"), float(f"{high:.4g}")


def accuracy() -> None:
    """LFW in every form, and across forms."""
    from convert import lfw

    tree, pairs = lfw()
    embedded = {}
    for precision in ("float32", "bfloat16", "int8"):
        device = Device("cpu", precision=precision)
        started = time.perf_counter()
        embed = load_embedder(load_pack(), device=device)
        embedded[precision] = embed_pairs(CropSource(tree), pairs, embed)[1]
        print(f"{precision}: embedded in {time.perf_counter() - started:.0f} s", flush=True)
    exact = embedded["float32"].embeddings
    known = similarities(pairs, embedded["float32"])
    for precision, one in embedded.items():
        cosines = np.sum(one.embeddings * exact, axis=1)
        result = verification(pairs, one)
        print(
            f"{precision}: {100 * (result.accuracy or 0):.2f} %, TAR at 1e-3 "
            f"{100 * result.tar['1e-3']:.2f} %, cosine to float32 {cosines.mean():.4f}, at worst "
            f"{cosines.min():.4f}"
        )
        if precision != "float32":
            told(precision, pairs, similarities(pairs, one), known)
            told(f"{precision} probes", pairs, across(pairs, one, embedded["float32"]), known)


def across(pairs, probes: Embedded, templates: Embedded) -> np.ndarray:
    """Each pair's similarity: its first picture in one form, its second in the other."""
    return np.sum(
        probes.embeddings[pairs.left] * templates.embeddings[pairs.right], axis=1, dtype=float
    )


def told(name: str, pairs, found: np.ndarray, known: np.ndarray) -> None:
    """What a form gains over float32 in accuracy and at a false match rate of 1e-3."""
    for gain in gains(pairs, found, known, far=1e-3):
        print(f"  {name} against float32, {gain.figure}: {gain_words(gain)}", flush=True)


def speed() -> None:
    """Milliseconds a call with flip, and how many times float32's."""
    forms = {}
    for precision in ("float32", "bfloat16", "int8"):
        if precision != "bfloat16" or not os.environ.get("ONEDNN_MAX_CPU_ISA"):
            forms[precision] = load_embedder(
                load_pack(), device=Device("cpu", precision=precision), flip=False
            )
    for batch in BATCHES:
        crops = np.random.default_rng(0).integers(0, 256, (batch, 112, 112, 3), np.uint8)
        calls = [partial(embed, crops) for embed in forms.values()]
        times = dict(zip(forms, race(*calls, rounds=ROUNDS), strict=True))
        for precision, taken in times.items():
            ratios = [a / b for a, b in zip(times["float32"], taken, strict=True)]
            print(
                f"batch {batch}, {precision:<9} median {statistics.median(taken):6.2f} ms, least "
                f"{min(taken):6.2f} ms, x{statistics.median(ratios):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
