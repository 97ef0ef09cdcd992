"""A float32 ONNX file made smaller: eight-bit integers to compute in, or half-precision weights."""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from visavis.convert.crops import pixels
from visavis.convert.parity import cosine_gaps
from visavis.errors import DeviceError, ModelError
from visavis.insightface.rules import keep_names_apart
from visavis.pack.dequantise import tensors_sha256
from visavis.pack.metadata import read_metadata, write_metadata
from visavis.pack.onnx import read_network
from visavis.runtime import Device, Preprocess, load_model
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


def to_int8(
    onnx: bytes,
    crops: Crops,
    preprocess: Preprocess,
    *,
    preset: str = "performance",
    keep: Sequence[str] = (),
) -> bytes:
    """The network with int8 weights and activations, float32 at either end, calibrated on crops
    (N, H, W, 3) of its size; nodes named in `keep` stay float32.

    Raises ModelError for a network that answers with NaN or that nncf cannot quantise, DeviceError
    where nncf or onnxruntime is not installed.
    """
    if preset not in PRESETS:
        raise ModelError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    network = read_network(onnx)
    embeddings(onnx, crops, preprocess)  # nncf would make something of NaN, too
    _drop_unused(network.model)
    [port] = network.inputs
    aside = [*keep, *_behind_embedding(network.model)]
    items = list(pixels(crops, preprocess)[:, None])
    nncf = _nncf()
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        try:
            quantised: ModelProto = nncf.quantize(
                network.model,
                nncf.Dataset(items, lambda item: {port.name: item}),
                preset=nncf.QuantizationPreset(preset),
                subset_size=len(items),
                ignored_scope=nncf.IgnoredScope(names=aside) if aside else None,
            )
        except (ValueError, RuntimeError, nncf.InternalError, nncf.ValidationError) as error:
            raise ModelError(f"the network cannot be quantised: {error}") from error
    return _restamped(
        onnx, quantised, f"int8, nncf {nncf.__version__} {preset}, {len(crops)} crops"
    )


def to_float16(onnx: bytes) -> bytes:
    """The network with its weights stored in half precision and cast back as it is loaded: half the
    size, the same speed; inputs, outputs and all that is computed stay float32.
    """
    network = read_network(onnx)
    graph = network.model.graph
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
        raise ModelError(f"{network.source}: no weights that could be stored in half precision")
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return _restamped(onnx, network.model, "float16 weights")


def embeddings(onnx: bytes, crops: Crops, preprocess: Preprocess) -> NDArray[np.float32]:
    """(N, D) raw, in float32. Raises ModelError where a number is none."""
    network = load_model(onnx, preprocess, Device("cpu", precision="float32"))
    rows = np.concatenate([network(crops[at : at + 8])[0] for at in range(0, len(crops), 8)])
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ModelError(
            f"expected finite (N, D) embeddings, got {rows.shape} with "
            f"{int(np.sum(~np.isfinite(rows)))} that are NaN or infinite: is the file whole?"
        )
    return rows


def closeness(
    onnx: bytes, smaller: bytes, crops: Crops, preprocess: Preprocess, *, kind: str = "int8"
) -> Closeness:
    """How alike both networks' embeddings of crops are; `kind` is a key of LEAST_COSINE.

    Raises ModelError where they are so far apart that the smaller one must be broken.
    """
    pair = [embeddings(one, crops, preprocess) for one in (onnx, smaller)]
    cosines = 1 - cosine_gaps(pair[0], pair[1])
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
            f"int8 needs a package that is not installed: {error}: pip install '.[convert,ort]'"
        ) from error
    # Not nncf.set_log_level: it sets the level of handlers too, and those may be the caller's.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


def _behind_embedding(model: ModelProto) -> list[str]:
    """The nodes that compute other outputs of it: its length."""
    needed = {model.graph.output[0].name}
    behind = []
    for node in reversed(model.graph.node):
        if needed.isdisjoint(node.output):
            behind.append(node.name)
        else:
            needed.update(node.input)
    return behind


def _half(tensor: TensorProto) -> NDArray[np.float16] | None:
    """The tensor in half precision, or None where that is no gain or a loss."""
    if tensor.data_type != TensorProto.FLOAT:
        return None
    full = numpy_helper.to_array(tensor)
    if full.size < HALF_LEAST:
        return None
    with np.errstate(over="ignore"):  # what is too large is seen below
        half = full.astype(np.float16)
    error = np.linalg.norm(half.astype(np.float64) - full)
    return half if error <= HALF_ERROR * np.linalg.norm(full.astype(np.float64)) else None


def _drop_unused(model: ModelProto) -> None:
    """Without tensors that no node reads: onnxruntime warns of each on stderr."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    if not any(
        attribute.HasField("g") for node in model.graph.node for attribute in node.attribute
    ):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)


def _restamped(onnx: bytes, model: ModelProto, form: str) -> bytes:
    """The smaller network's bytes; where the larger one had metadata, with its own."""
    metadata = read_metadata(read_network(onnx))
    keep_names_apart(model)
    if metadata is not None:
        hashed = tensors_sha256(model)
        write_metadata(model, replace(metadata, form=form, weights_sha256=hashed))
    return bytes(model.SerializeToString())
