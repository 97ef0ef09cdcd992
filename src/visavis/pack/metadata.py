"""What a converted ONNX file says of itself: `visavis convert` writes it, `pack build` reads it.

docs/convert.md lists the keys. Knows nothing of how the file was made.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from onnx import ModelProto

from visavis.decode.yolov5face import Anchors
from visavis.document import parse
from visavis.errors import ModelError
from visavis.pack.declaration import Declared
from visavis.pack.onnx import PREFIX, Network
from visavis.runtime import Color, PerChannel, Preprocess


@dataclass(frozen=True, slots=True)
class Metadata:
    """An embedder's file: what it takes, what it gives, where it comes from, how it was proved."""

    family: str
    color: Color
    mean: PerChannel  # in the order of `color`, on 0..255
    std: PerChannel
    height: int
    width: int
    dim: int
    source: str  # the checkpoint's file name
    source_sha256: str
    weights_sha256: str  # of the tensors of this file, as a pack's manifest has it
    version: str  # of visavis
    licence: str
    form: str = "float32"  # or how the file was made smaller
    # By runtime: the largest differences to PyTorch.
    parity: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def preprocess(self) -> Preprocess:
        """How the network wants its pixels."""
        return Preprocess(self.color, self.mean, self.std)


@dataclass(frozen=True, slots=True)
class DetectorMetadata:
    """A detector's file: what it takes, how its answers are read, where it comes from."""

    family: str
    decoder: str  # a key of visavis.decode.DECODERS
    color: Color
    mean: PerChannel
    std: PerChannel
    licence: str
    training_data: str
    source: str
    source_sha256: str
    version: str
    # As in a manifest; None: a manifest's default.
    anchors: Anchors | None = None
    squashed_landmarks: bool | None = None
    padding: int | None = None

    @property
    def reading(self) -> Declared:
        """How its answers are read."""
        return Declared(
            decoder=self.decoder,
            anchors=self.anchors,
            squashed_landmarks=self.squashed_landmarks,
            padding=self.padding,
        )


Notes = TypeVar("Notes", Metadata, DetectorMetadata)

JSON = "mean std height width dim parity anchors squashed_landmarks padding".split()  # not text


def read_metadata(network: Network) -> Metadata | None:
    """What a converted embedder says of itself; None for one that another tool made.

    Raises ModelError naming the key that is missing or wrong.
    """
    return _read(Metadata, network)


def read_detector_metadata(network: Network) -> DetectorMetadata | None:
    """What a converted detector says of itself; None and errors as in `read_metadata`."""
    return _read(DetectorMetadata, network)


def write_metadata(model: ModelProto, metadata: Metadata | DetectorMetadata) -> None:
    """Write the metadata into the file, in place of what it said before."""
    others = [(p.key, p.value) for p in model.metadata_props if not p.key.startswith(PREFIX)]
    del model.metadata_props[:]
    for key, value in others:
        model.metadata_props.add(key=key, value=value)
    for name, value in asdict(metadata).items():
        text = json.dumps(value) if name in JSON else value
        if value is not None:
            model.metadata_props.add(key=PREFIX + name, value=text)


def _read(kind: type[Notes], network: Network) -> Notes | None:
    values: dict[str, Any] = {
        name: _number(network, name, value) if name in JSON else value
        for name, value in network.metadata.items()
    }
    if not values:
        return None
    document = json.dumps(values).encode()
    return parse(kind, document, f"{network.source}: metadata", ModelError)


def _number(network: Network, name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{network.source}: metadata {name}: cannot be read: {error}") from error
