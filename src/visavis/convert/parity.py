"""The proof of a converted network: it answers as PyTorch does, in every runtime installed here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.convert.checkpoints import Checkpoint
from visavis.convert.crops import made_crops, pixels
from visavis.errors import ModelError
from visavis.pack.metadata import read_metadata, write_metadata
from visavis.pack.network import read_network
from visavis.runtime import Device, available_runtimes, load_model
from visavis.types import Crops

LIMIT = 1e-5  # of 1 - cosine, in float32
NORM_LIMIT = 1e-4  # of the norm output, relative to the length of the embedding
BATCHES = (1, 3, 8)


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
    """Made crops, and `crops` (N, H, W, 3) where given, one, three and eight at a time through the
    checkpoint and through the ONNX file in each runtime, in float32.

    Raises ModelError where 1 - cosine is over `limit` anywhere, or either answers with NaN.
    """
    sets = {"made": made_crops(checkpoint.height, checkpoint.width)}
    if crops is not None and len(crops):
        sets["given"] = crops
    wanted = {
        (kind, batch): [(part, answers(checkpoint, part)) for part in _split(some, batch)]
        for kind, some in sets.items()
        for batch in BATCHES
    }
    gaps = []
    for runtime in available_runtimes():
        device = Device("cpu", runtime=runtime.name, precision="float32")
        network = load_model(onnx, checkpoint.preprocess, device)
        for (kind, batch), parts in wanted.items():
            found = [_gap(expected, network(part)) for part, expected in parts]
            worst = (max(column) for column in zip(*found, strict=True))
            gaps.append(Gap(f"{runtime.name} {runtime.version}", batch, kind, *worst))
    _refuse([gap for gap in gaps if not gap.cosine <= limit], limit)
    return gaps


def stamped(onnx: bytes, gaps: Iterable[Gap]) -> bytes:
    """The file with the proof in its metadata: the worst gaps of each runtime."""
    network = read_network(onnx, "the converted network")
    metadata = read_metadata(network)
    if metadata is None:
        raise ModelError("expected a network that visavis converted: this one has no metadata")
    parity: dict[str, dict[str, float]] = {}
    for gap in gaps:
        worst = parity.setdefault(gap.runtime, {"cosine": 0.0, "difference": 0.0})
        worst["cosine"] = max(worst["cosine"], gap.cosine)
        worst["difference"] = max(worst["difference"], gap.difference)
    write_metadata(network.model, replace(metadata, parity=parity))
    return bytes(network.model.SerializeToString())


def cosine_gaps(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) 1 - cosine of rows (N, D). Raises ModelError where one is zero or no number."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ModelError("the network answers with NaN, infinity or zeros: are its weights whole?")
    gaps: NDArray[np.float64] = 1 - np.einsum("nd,nd->n", a, b) / lengths
    return np.maximum(gaps, 0)  # equal rows may come out at -1e-16


def answers(checkpoint: Checkpoint, crops: Crops) -> NDArray[np.float32]:
    """(N, D) raw embeddings as PyTorch computes them."""
    with torch.inference_mode():
        raw = checkpoint.network(torch.from_numpy(pixels(crops, checkpoint.preprocess)))
    found: NDArray[np.float32] = raw.numpy()
    return found


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


def _refuse(failed: Sequence[Gap], limit: float) -> None:
    if failed:
        worst = max(failed, key=lambda gap: gap.cosine)
        raise ModelError(
            f"the converted network is not the checkpoint's: in {worst.runtime}, batch "
            f"{worst.batch}, {worst.crops} crops, 1 - cosine is {worst.cosine:.1e}, at most "
            f"{limit:.0e} is allowed; nothing was written"
        )
