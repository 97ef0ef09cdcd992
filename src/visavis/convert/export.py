"""A loaded checkpoint as one ONNX file: a batch of any size, embeddings as the network gives them.

Normalisation stays outside the graph: the file's metadata say what the pixels must be.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, helper
from torch import Tensor, nn
from torch.onnx import OnnxExporterError

from visavis.checkpoints.checkpoint import Checkpoint
from visavis.convert.crops import made_crops, pixels
from visavis.convert.form import Form
from visavis.errors import ModelError
from visavis.insightface.rules import keep_names_apart
from visavis.pack.dequantise import tensors_sha256
from visavis.pack.metadata import Metadata

OPSET = 18  # the lowest that the exporter writes itself: the most programs read it
MOST_BYTES = 2**31 - 2**20  # protobuf's limit, less room for the nodes
BATCH, EMBEDDING, NORM = "batch", "embedding", "norm"


def to_onnx(checkpoint: Checkpoint, *, opset: int = OPSET, norm_output: bool = False) -> Form:
    """The checkpoint as an ONNX file: input (batch, 3, H, W) float32 normalised pixels, output
    embedding (batch, D) as the network gives it and, with `norm_output`, norm (batch, 1), its
    length: what AdaFace and MagFace take for quality.

    Raises ModelError for a network that answers with NaN or no embedding, whose batch cannot be
    left open, or that the opset cannot express.
    """
    network = checkpoint.network.eval()
    example = torch.from_numpy(
        pixels(made_crops(checkpoint.height, checkpoint.width, count=2), checkpoint.preprocess)
    )
    dim = _dim(network, example)
    outputs = [EMBEDDING, NORM] if norm_output else [EMBEDDING]
    model = _embedder(_WithNorm(network) if norm_output else network, example, outputs, opset)
    size = checkpoint.height, checkpoint.width
    metadata = _metadata(checkpoint, model, dim)
    return Form(model, model.SerializeToString(), checkpoint.preprocess, *size, dim, metadata)


def traced(
    network: nn.Module,
    example: Tensor,
    open_sizes: dict[int, Any],
    *,
    outputs: Sequence[str],
    opset: int = OPSET,
) -> ModelProto:
    """The network as torch's exporter writes it, without traces of the machine.

    `open_sizes`: by axis of its one input, `input`, a torch.export.Dim or a multiple of one.
    Raises ModelError for a network that cannot be exported with those sizes left open.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=(open_sizes,),
                input_names=["input"],
                output_names=list(outputs),
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
    except OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        sizes = " and ".join(dim.__name__ for dim in open_sizes.values())
        raise ModelError(
            f"the network cannot be exported with an open {sizes}: {reason}"
        ) from error
    model: ModelProto = program.model_proto if program else ModelProto()
    _tidy(model)
    return model


class _WithNorm(nn.Module):
    """A network that also answers with its embeddings' length."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.network(pixels)
        # Not torch's norm: its ONNX operator cannot be written for opsets below 18.
        return embedding, (embedding * embedding).sum(dim=1, keepdim=True).sqrt()


def _dim(network: nn.Module, example: Tensor) -> int:
    """The length of its embeddings. Raises ModelError where one is NaN or infinite."""
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    if weights > MOST_BYTES:
        raise ModelError(f"the network has {weights:,} bytes of weights: over ONNX's limit of 2 GB")
    try:
        with torch.inference_mode():
            raw = network(example)
    except RuntimeError as error:
        raise ModelError(f"the network refuses {tuple(example.shape)} pixels: {error}") from error
    if not isinstance(raw, Tensor) or raw.ndim != 2 or len(raw) != len(example):
        got = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
        raise ModelError(f"expected ({len(example)}, D) embeddings of the network, got {got}")
    if not np.isfinite(raw.numpy()).all():
        raise ModelError("the network answers with NaN or infinity: are its weights whole?")
    return raw.shape[1]


def _embedder(network: nn.Module, example: Tensor, outputs: list[str], opset: int) -> ModelProto:
    batch = torch.export.Dim(BATCH)
    model = traced(network.eval(), example, {0: batch}, outputs=outputs, opset=opset)
    nearest = next((entry.version for entry in model.opset_import if not entry.domain), 0)
    if nearest != opset:
        raise ModelError(
            f"the network cannot be written in opset {opset}: the nearest is {nearest}",
            option="opset",
        )
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.shape.dim[0].dim_param != BATCH:
            raise ModelError(
                "the network takes batches of one size only: its batch cannot be left open"
            )
    return model


def _metadata(checkpoint: Checkpoint, model: ModelProto, dim: int) -> Metadata:
    return Metadata(
        family=checkpoint.family.name,
        color=checkpoint.preprocess.color,
        mean=checkpoint.preprocess.mean,
        std=checkpoint.preprocess.std,
        height=checkpoint.height,
        width=checkpoint.width,
        dim=dim,
        source=checkpoint.source,
        source_sha256=checkpoint.sha256,
        weights_sha256=tensors_sha256(model),
        version=version("visavis"),
        licence=checkpoint.family.licence,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's notes on torchvision, which we do not use, and on opsets, which we
    check afterwards; its errors are raised and not logged.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # torch.export copies a class of its own that it has deprecated itself.
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _tidy(model: ModelProto) -> None:
    """Remove traces of the machine: each node carries the paths of the code it comes from."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]
    keep_names_apart(model)
    graph.name = "visavis"
    model.producer_name, model.producer_version = "visavis", version("visavis")
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
