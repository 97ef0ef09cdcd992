"""The proof of a converted network: it answers as PyTorch does, in every runtime installed here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.checkpoints.checkpoint import Checkpoint
from visavis.checkpoints.detectors import DetectorCheckpoint
from visavis.convert.crops import made_crops, pixels
from visavis.errors import ModelError
from visavis.runtime import (
    Device,
    Model,
    Outputs,
    Pictures,
    Preprocess,
    available_runtimes,
    load_model,
)
from visavis.types import Crops

LIMIT = 1e-5  # of 1 - cosine, in float32
NORM_LIMIT = 1e-4  # of the norm output, relative to the length of the embedding
NUMBER_LIMIT = 1e-3  # of a difference between two numbers, over 1 + their size, in float32
BATCHES = (1, 3, 8)
SIZES = ((1, 320, 256), (3, 128, 192))  # of pictures: batch, height and width


@dataclass(frozen=True, slots=True)
class Gap:
    """How far one runtime's embeddings lie from PyTorch's, at worst."""

    runtime: str  # name and version
    batch: int
    crops: str  # "made" or "given"
    cosine: float  # 1 - cosine
    difference: float  # of one number of an embedding as the network gives it


def prove(
    checkpoint: Checkpoint, onnx: bytes, *, crops: Crops | None = None, limit: float = LIMIT
) -> list[Gap]:
    """Compare PyTorch and the ONNX file, in each runtime and in float32: made crops, and `crops`
    (N, H, W, 3) if there are any, go through both, one, three and eight at a time.

    Raises ModelError where 1 - cosine is over `limit` anywhere, or either answers with NaN.
    """
    sets = {"made": made_crops(checkpoint.height, checkpoint.width)}
    if crops is not None and len(crops):
        sets["given"] = crops
    wanted = {
        (kind, batch): [
            (part, pytorch_answers(checkpoint, part)[0]) for part in _split(some, batch)
        ]
        for kind, some in sets.items()
        for batch in BATCHES
    }
    gaps = []
    for runtime, network in _in_each_runtime(onnx, checkpoint.preprocess):
        for (kind, batch), parts in wanted.items():
            every = [_gap(expected, network(part)) for part, expected in parts]
            worst = (max(column) for column in zip(*every, strict=True))
            gaps.append(Gap(runtime, batch, kind, *worst))
    _refuse([gap for gap in gaps if not gap.cosine <= limit], limit)
    return gaps


def prove_numbers(
    answer: Callable[[Pictures], Outputs], onnx: bytes, preprocess: Preprocess
) -> dict[str, float]:
    """Compare PyTorch, which is `answer`, and the ONNX file, in each runtime and in float32: made
    pictures of several sizes go through both. By runtime: the largest difference between two
    numbers, over 1 + their size.

    Raises ModelError where one is over NUMBER_LIMIT or NaN.
    """
    made = [made_crops(height, width)[-batch:] for batch, height, width in SIZES]
    wanted = [(pictures, answer(pictures)) for pictures in made]
    worst = {
        runtime: float(np.max([_number_gap(expected, model(part)) for part, expected in wanted]))
        for runtime, model in _in_each_runtime(onnx, preprocess)
    }
    for runtime, gap in worst.items():
        if not gap <= NUMBER_LIMIT:  # nor NaN, which np.max passes on
            raise ModelError(
                f"the converted network is not the checkpoint's: in {runtime} a number differs by "
                f"{gap:.1e} of 1 + its size, at most {NUMBER_LIMIT:.0e} is allowed; nothing was "
                "written"
            )
    return worst


def worst_gaps(gaps: Iterable[Gap]) -> dict[str, dict[str, float]]:
    """By runtime the largest `cosine` and the largest `difference`: a file's `parity`."""
    parity: dict[str, dict[str, float]] = {}
    for gap in gaps:
        worst = parity.setdefault(gap.runtime, {"cosine": 0.0, "difference": 0.0})
        worst["cosine"] = max(worst["cosine"], gap.cosine)
        worst["difference"] = max(worst["difference"], gap.difference)
    return parity


def cosine_gaps(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) 1 - cosine of rows (N, D). Raises ModelError where a row is zero or not finite."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ModelError("the network answers with NaN, infinity or zeros: are its weights whole?")
    gaps: NDArray[np.float64] = 1 - np.einsum("nd,nd->n", a, b) / lengths
    return np.maximum(gaps, 0)  # equal rows may come out at -1e-16


def pytorch_answers(checkpoint: Checkpoint | DetectorCheckpoint, pictures: Pictures) -> Outputs:
    """What PyTorch computes of (N, H, W, 3) uint8 RGB pictures; of an embedder, (N, D) raw."""
    with torch.inference_mode():
        outputs = checkpoint.network(torch.from_numpy(pixels(pictures, checkpoint.preprocess)))
    every = outputs if isinstance(outputs, tuple) else (outputs,)
    return [output.numpy() for output in every]


def _in_each_runtime(onnx: bytes, preprocess: Preprocess) -> Iterator[tuple[str, Model]]:
    """The file as each installed runtime loads it, with the runtime's name and version."""
    for runtime in available_runtimes():
        device = Device("cpu", runtime=runtime.name, precision="float32")
        yield f"{runtime.name} {runtime.version}", load_model(onnx, preprocess, device)


def _split(crops: Crops, batch: int) -> list[Crops]:
    """In full batches; the last one reaches back, so that none is short."""
    starts = range(0, max(len(crops) - batch, 0) + 1, batch)
    return [crops[start : start + batch] for start in starts]


def _gap(
    expected: NDArray[np.float32], outputs: Sequence[NDArray[np.float32]]
) -> tuple[float, float]:
    if outputs[0].shape != expected.shape:
        raise ModelError(
            f"the converted network answers {outputs[0].shape}, PyTorch {expected.shape}"
        )
    if len(outputs) > 1:
        lengths = np.linalg.norm(expected.astype(np.float64), axis=1, keepdims=True)
        if not np.abs(outputs[1] - lengths).max() <= NORM_LIMIT * lengths.max():
            raise ModelError("the converted network's norm is not the length of its embedding")
    worst = cosine_gaps(outputs[0], expected).max()
    return float(worst), float(np.abs(outputs[0] - expected).max())


def _number_gap(expected: Outputs, got: Outputs) -> float:
    if [one.shape for one in expected] != [one.shape for one in got]:
        shapes, wanted = (", ".join(str(one.shape) for one in some) for some in (got, expected))
        raise ModelError(f"the converted network answers {shapes}, PyTorch {wanted}")
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, which is refused
        gaps = [np.abs(a - b) / (1 + np.abs(a)) for a, b in zip(expected, got, strict=True)]
    return float(np.max([gap.max() for gap in gaps]))


def _refuse(failed: Sequence[Gap], limit: float) -> None:
    if failed:
        worst = max(failed, key=lambda gap: gap.cosine)
        raise ModelError(
            f"the converted network is not the checkpoint's: in {worst.runtime}, batch "
            f"{worst.batch}, {worst.crops} crops, 1 - cosine is {worst.cosine:.1e}, at most "
            f"{limit:.0e} is allowed; nothing was written"
        )
