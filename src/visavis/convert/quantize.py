"""A float32 ONNX file made smaller: eight-bit integers to compute in, or half-precision weights."""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from visavis.convert.crops import made_crops, pixels
from visavis.convert.form import Form
from visavis.convert.parity import cosine_gaps
from visavis.errors import DeviceError, ModelError
from visavis.insightface.rules import keep_names_apart
from visavis.pack.dequantise import tensors_sha256
from visavis.pack.onnx import PREFIX, real_inputs
from visavis.runtime.telemetry import silence
from visavis.types import Crops

PRESETS = ("performance", "mixed")  # mixed: activations may have a zero that is not 0
# Mean cosine to the float32 embeddings: below, the file is broken and not just coarse.
LEAST_COSINE = {"int8": 0.95, "float16": 0.999}
HALF_ERROR = 1e-3  # of a tensor, relative: one that float16 cannot hold so well stays float32
HALF_LEAST = 256  # numbers in a tensor, from which on halving it saves anything


@dataclass(frozen=True, slots=True)
class Closeness:
    """Cosines of a smaller network's embeddings to those of the float32 one."""

    mean: float
    worst: float


@dataclass(frozen=True, eq=False, slots=True)
class Smaller:
    """A network made smaller, and how close it is to the float32 one."""

    form: Form
    closeness: Closeness


def to_int8(
    form: Form, crops: Crops, *, preset: str = "performance", keep: Sequence[str] = ()
) -> Smaller:
    """The network with int8 weights and activations, float32 at either end, calibrated on crops
    (N, H, W, 3) of its size; nodes named in `keep` stay float32.

    Raises ModelError for a network that answers with NaN, that nncf cannot quantise or that differs
    too much afterwards, DeviceError where nncf or onnxruntime is not installed.
    """
    check_preset(preset)
    expected = form.embeddings(crops)  # refuses NaN, which nncf would quantise, too
    model = _copy(form.model)
    _drop_unused(model)
    [pictures] = real_inputs(model.graph)
    aside = [*keep, *_behind_embedding(model)]
    items = list(pixels(crops, form.preprocess)[:, None])
    nncf = _nncf()
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        try:
            quantised: ModelProto = nncf.quantize(
                model,
                nncf.Dataset(items, lambda item: {pictures.name: item}),
                preset=nncf.QuantizationPreset(preset),
                subset_size=len(items),
                ignored_scope=nncf.IgnoredScope(names=aside) if aside else None,
            )
        except (ValueError, RuntimeError, nncf.InternalError, nncf.ValidationError) as error:
            raise ModelError(f"the network cannot be quantised: {error}") from error
    label = f"int8, nncf {nncf.__version__} {preset}, {len(crops)} crops"
    smaller = _smaller(form, quantised, label)
    return Smaller(smaller, closeness(expected, smaller, crops))


def check_preset(preset: str) -> None:
    """Raises ModelError for an unknown preset."""
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise ModelError(f"unknown preset {preset!r}; known: {known}", option="preset")


def to_float16(form: Form) -> Smaller:
    """The network with its weights stored in half precision and cast back as it is loaded: half the
    size, the same speed; inputs, outputs and all that is computed stay float32.

    Raises ModelError where no weights can be stored so, or the network differs too much afterwards.
    """
    model = _copy(form.model)
    graph = model.graph
    inputs = {value.name for value in graph.input}
    casts = []
    for tensor in graph.initializer:
        half = None if tensor.name in inputs else _half(tensor)
        if half is None:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(
            helper.make_node("Cast", [tensor.name], [name], f"cast_{name}", to=TensorProto.FLOAT)
        )
    if not casts:
        raise ModelError("the network has no weights that could be stored in half precision")
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    smaller = _smaller(form, model, "float16 weights")
    crops = made_crops(form.height, form.width)
    close = closeness(form.embeddings(crops), smaller, crops, kind="float16")
    return Smaller(smaller, close)


def closeness(
    expected: NDArray[np.float32], smaller: Form, crops: Crops, *, kind: str = "int8"
) -> Closeness:
    """How alike the smaller network's embeddings of crops and the float32 ones, `expected` (N, D),
    are; `kind` is a key of LEAST_COSINE.

    Raises ModelError where they are so far apart that the smaller one must be broken.
    """
    cosines = 1 - cosine_gaps(expected, smaller.embeddings(crops))
    least = LEAST_COSINE[kind]
    if not cosines.mean() >= least:
        raise ModelError(
            f"the smaller network is not the same: its embeddings' mean cosine to float32 is "
            f"{cosines.mean():.4f}, at least {least} is expected; are the crops faces?"
        )
    return Closeness(float(cosines.mean()), float(cosines.min()))


def _nncf() -> Any:
    silence()  # it reports through openvino's telemetry, and runs the network in onnxruntime
    try:
        import nncf
        import nncf.onnx
    except ImportError as error:
        raise DeviceError(
            f"int8 needs a package that is not installed: {error}",
            mend="pip install '.[convert,ort]'",
        ) from error
    # Not nncf.set_log_level: it sets the level of handlers too, and those may be the caller's.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


def _behind_embedding(model: ModelProto) -> list[str]:
    """The nodes after the embedding, which compute other outputs: its length."""
    needed = {model.graph.output[0].name}
    behind = []
    for node in reversed(model.graph.node):
        if needed.isdisjoint(node.output):
            behind.append(node.name)
        else:
            needed.update(node.input)
    return behind


def _half(tensor: TensorProto) -> NDArray[np.float16] | None:
    """The tensor in half precision; None where that saves nothing or loses too much."""
    if tensor.data_type != TensorProto.FLOAT:
        return None
    full = numpy_helper.to_array(tensor)
    if full.size < HALF_LEAST:
        return None
    with np.errstate(over="ignore"):  # numbers that are too large make the error infinite
        half = full.astype(np.float16)
    error = np.linalg.norm(half.astype(np.float64) - full)
    return half if error <= HALF_ERROR * np.linalg.norm(full.astype(np.float64)) else None


def _drop_unused(model: ModelProto) -> None:
    """Remove tensors that no node reads: onnxruntime warns of each on stderr."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    if not any(
        attribute.HasField("g") for node in model.graph.node for attribute in node.attribute
    ):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)


def _copy(model: ModelProto) -> ModelProto:
    """A copy to change, without what visavis noted in the file."""
    copy = ModelProto()
    copy.CopyFrom(model)
    others = [entry for entry in copy.metadata_props if not entry.key.startswith(PREFIX)]
    del copy.metadata_props[:]
    copy.metadata_props.extend(others)
    return copy


def _smaller(form: Form, model: ModelProto, label: str) -> Form:
    """The smaller model with the larger one's metadata, if it has any, and its own label."""
    keep_names_apart(model)
    metadata = form.metadata
    if metadata is not None:
        hashed = tensors_sha256(model)
        metadata = replace(metadata, form=label, weights_sha256=hashed, **asdict(form.preprocess))
    network = model.SerializeToString()
    return replace(form, model=model, network=network, metadata=metadata, noted=False)
