"""A network as an embedder: batches of crops, mirrored or not, to rows of length 1."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.errors import EmbeddingError, ImageError, MismatchError, ModelError
from visavis.pack.manifest import CROP, EmbedderSpec, Pack, check_size
from visavis.runtime import Device, Outputs, Pictures, int8_is_best, load_model
from visavis.types import Crops, Embedder, Embeddings, Part

BATCH = 8  # crops in one network call, and as many mirrored ones: more is no faster on a CPU


@dataclass(frozen=True, slots=True)
class ModelEmbedder:
    """A network as an embedder: batches, mirror, unit length."""

    model: str  # name@hash
    dim: int
    network: Callable[[Pictures], Outputs]
    flip: bool
    size: tuple[int, int] = CROP  # height and width of what it takes: `at_size`
    margin: float = 0.0  # with which its crops are cut
    runs_on: str = ""  # runtime, device and precision, as they really are

    def __post_init__(self) -> None:
        check_size(self.size, self.model)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The network alone."""
        return (Part(self.model, self.dim),)

    def __call__(self, crops: Crops, /) -> Embeddings:
        """(N, 112, 112, 3) uint8 RGB crops to (N, dim) float32 unit rows; with `flip` the mirrored
        crop's embedding is added.

        Raises ImageError for other crops, ModelError where the network answers with another shape,
        EmbeddingError where with NaN.
        """
        if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8:
            raise ImageError(
                f"expected (N, 112, 112, 3) uint8 crops, got {crops.shape} {crops.dtype}"
            )
        sums = np.empty((len(crops), self.dim), np.float32)
        for start in range(0, len(crops), BATCH):
            batch = crops[start : start + BATCH]
            if self.flip:
                both = self._raw(np.concatenate([batch, batch[:, :, ::-1]]))
                sums[start : start + BATCH] = both[: len(batch)] + both[len(batch) :]
            else:
                sums[start : start + BATCH] = self._raw(batch)
        return unit(sums)

    def lengths(self, crops: Crops) -> NDArray[np.float32]:
        """How long (N,) crops' embeddings are before they are brought to length 1. Networks trained
        for it, as MagFace and AdaFace, make them the longer the better the face is.
        """
        outputs = self._outputs(crops)
        if len(outputs) > 1:
            return np.asarray(outputs[1][:, 0])
        return np.asarray(np.linalg.norm(outputs[0], axis=1))

    def _raw(self, crops: Crops) -> NDArray[np.float32]:
        return self._outputs(crops)[0]

    def _outputs(self, crops: Crops) -> Outputs:
        outputs = self.network(np.ascontiguousarray(at_size(crops, self.size)))
        shapes = [raw.shape for raw in outputs]
        expected = [(len(crops), self.dim), (len(crops), 1)]  # the second: lengths
        if shapes not in (expected[:1], expected):
            words = " and ".join(map(str, shapes)) or "no output"
            raise ModelError(
                f"{self.model}: expected ({len(crops)}, {self.dim}) embeddings, got {words}"
            )
        return outputs


def embedder_device(device: str | Device, spec: EmbedderSpec) -> Device:
    """Where an embedder runs: in int8 if its pack has it so and the CPU does nothing better, unless
    the device names another precision.
    """
    where = device if isinstance(device, Device) else Device(device)
    int8 = where.precision == "auto" and spec.int8 is not None and int8_is_best(where)
    return replace(where, precision="int8") if int8 else where


def load_embedder(pack: Pack, *, device: str | Device = "auto", flip: bool = True) -> ModelEmbedder:
    """The pack's embedder, ready to be called with crops.

    `flip` adds the mirrored crop's embedding: better on every benchmark, at twice the cost.
    Raises PackError for a damaged file or an embedder of a size that no crop is brought to,
    DeviceError for a device that this machine does not have, ModelError for int8 of a pack without
    it.
    """
    spec = pack.manifest.embedder
    where = embedder_device(device, spec)
    form = spec.form(where.precision)
    network = load_model(pack.read(form.file, form.sha256), spec.preprocess, where)
    runs_on = f"{network.runtime} on {network.device} in {network.precision}"
    return ModelEmbedder(
        spec.model, spec.dim, network, flip, spec.size, margin=spec.margin, runs_on=runs_on
    )


def refuse_cut(embed: Embedder, *, mend: str, option: str = "") -> None:
    """Raise MismatchError where crops that are cut already, without a margin, are not what an
    embedder takes.
    """
    if embed.margin:
        raise MismatchError(
            f"{embed.model} takes crops with a margin of {embed.margin:g} around the face; "
            "what is cut already has none",
            mend=mend,
            option=option,
        )


def at_size(crops: Crops, size: tuple[int, int]) -> Crops:
    """112x112 crops as a network of another size takes them: their middle rows and columns (96
    columns of 112 are 8 to 103), or, where it takes more than 112, enlarged.
    """
    if max(size) > CROP[0]:
        larger = np.empty((len(crops), *size, 3), np.uint8)
        for row, crop in enumerate(crops):
            larger[row] = cv2.resize(crop, size[::-1], interpolation=cv2.INTER_LINEAR)
        return larger
    top, left = ((whole - part) // 2 for whole, part in zip(CROP, size, strict=True))
    return crops if size == CROP else crops[:, top : top + size[0], left : left + size[1]]


def unit(rows: NDArray[np.float32]) -> Embeddings:
    """Rows (N, D) scaled to length 1. Raises EmbeddingError for a zero or NaN row."""
    # In float64: squares of numbers that float32 holds may be more or less than it can hold.
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if bad.size:
        raise EmbeddingError(
            f"expected finite embeddings that are not all zero; row {bad[0]} of {len(rows)} is "
            f"{rows[bad[0], :4].tolist()}...",
            mend="check that the model's file is whole and its preprocessing right",
        )
    return np.asarray(rows / lengths, np.float32)
