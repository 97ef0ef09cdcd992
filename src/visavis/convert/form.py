"""One form of a network, float32 or smaller: parsed once, serialised once, and carried along."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from visavis.alignment import SIZE
from visavis.convert.crops import made_crops
from visavis.embedder import ModelEmbedder
from visavis.errors import ModelError
from visavis.pack.build import refuse_detector
from visavis.pack.metadata import Metadata, read_metadata, write_metadata
from visavis.pack.onnx import Network, read_network
from visavis.runtime import Color, Device, PerChannel, Preprocess, load_model
from visavis.types import Crops, Embedder

BATCH = 8  # crops at a time


@dataclass(frozen=True, slots=True)
class DeclaredPixels:
    """How the user says that a network wants its pixels; None: as its file or family says."""

    color: Color | None = None
    mean: PerChannel | None = None  # in the order of the colours, on 0..255
    std: PerChannel | None = None

    def over(self, preset: Preprocess | None) -> Preprocess:
        """The preset, changed to what is declared. Raises ModelError if something stays unknown."""
        if preset is None and (self.color is None or self.mean is None or self.std is None):
            raise ModelError(
                "the file does not say how it wants its pixels", mend="give color, mean and std"
            )
        preset = preset or Preprocess()
        return Preprocess(
            self.color or preset.color, self.mean or preset.mean, self.std or preset.std
        )


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """A network as one file, and what it takes. A step that changes it works on a copy."""

    model: ModelProto  # read it, never change it
    network: bytes  # the model as runtimes load it
    preprocess: Preprocess
    height: int
    width: int
    dim: int
    metadata: Metadata | None = None  # None: another tool's file, which says nothing
    noted: bool = False  # `network` has the metadata in it

    @property
    def onnx(self) -> bytes:
        """The whole file."""
        if self.metadata is None or self.noted:
            return self.network
        notes = ModelProto()
        write_metadata(notes, self.metadata)
        # protobuf takes what follows a message for more of it: weights are not serialised again.
        return self.network + notes.SerializeToString()

    def embeddings(self, crops: Crops) -> NDArray[np.float32]:
        """(N, D) raw, in float32, of (N, height, width, 3) crops. Raises ModelError where a number
        is NaN or infinite.
        """
        model = load_model(self.network, self.preprocess, Device("cpu", precision="float32"))
        parts = [crops[at : at + BATCH] for at in range(0, len(crops), BATCH)]
        rows = np.concatenate([model(part)[0] for part in parts])
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise ModelError(
                f"expected finite (N, D) embeddings, got {rows.shape} with "
                f"{int(np.sum(~np.isfinite(rows)))} that are NaN or infinite: is the file whole?"
            )
        return rows

    def embedder(self, *, device: str | Device = "auto", flip: bool = True) -> Embedder:
        """It as an embedder of 112x112 crops, of which it may take the middle alone."""
        model = load_model(self.network, self.preprocess, device)
        return ModelEmbedder("converted", self.dim, model, flip, (self.height, self.width))


def read_form(source: Path | bytes, pixels: DeclaredPixels) -> Form:
    """A float32 ONNX file, or its bytes, as it is.

    Raises PackError for what is no network, ModelError for one of another form or of other inputs,
    that does not say how it wants its pixels and neither is it declared, or that answers with NaN.
    """
    network = read_network(source)
    refuse_detector(network)
    metadata = read_metadata(network)
    if metadata is not None and metadata.form != "float32":
        raise ModelError(
            f"{network.source}: is {metadata.form} already", mend="start from the float32 file"
        )
    height, width = _size(network)
    preprocess = pixels.over(metadata.preprocess if metadata else None)
    form = Form(network.model, network.data, preprocess, height, width, 0, metadata, noted=True)
    dim = form.embeddings(made_crops(height, width)).shape[1]
    return replace(form, dim=dim)


def _size(network: Network) -> tuple[int, int]:
    """Height and width of the pixels it takes."""
    if len(network.inputs) != 1 or len(network.inputs[0].dims) != 4:
        raise ModelError(f"{network.source}: expected one input of (N, 3, H, W) pixels")
    height, width = (size if isinstance(size, int) else 0 for size in network.inputs[0].dims[2:])
    return height or SIZE, width or SIZE
