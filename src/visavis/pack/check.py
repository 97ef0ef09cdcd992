"""Networks held against what a manifest declares of them: their shapes, and a run on made pictures.

Reads no ONNX file: that is `visavis.pack.onnx`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from visavis.decode import DECODERS, Decoder, OutputShapes, decoder_of
from visavis.decode.boxes import STRIDE
from visavis.decode.yolov5face import YOLOV5FACE
from visavis.errors import PackError, VisavisError
from visavis.pack.manifest import DetectorSpec, EmbedderSpec, LivenessSpec
from visavis.runtime import Device, Model, Outputs, Preprocess, available_runtimes, load_model

EXACT = Device("cpu", precision="float32")
LEAST_COSINE = 0.9999  # of an embedding to the same one in another batch
LEAST_COSINE_OF_INT8 = 0.8  # of an embedding to the same one in int8
PICTURES = ((128, 256), (256, 128))  # height and width: multiples of every stride


def declared_decoder(spec: DetectorSpec, source: str) -> Decoder:
    """The decoder that a manifest names. Raises PackError for an unknown one."""
    try:
        return DECODERS[spec.decoder]
    except KeyError:
        raise PackError(
            f"{source}: unknown decoder {spec.decoder!r}; known: {', '.join(DECODERS)}"
        ) from None


def check_network(
    spec: DetectorSpec, shapes: OutputShapes, size: tuple[int, int] | None, source: str
) -> None:
    """Hold a network's outputs, and the one height and width that it may take, against a manifest.

    Raises PackError where they are not what it declares, or where no picture could be answered.
    """
    decoder = declared_decoder(spec, source)
    fitting = decoder_of(shapes)
    if fitting is not decoder:
        raise PackError(
            f"{source}: declared for the decoder {spec.decoder}, but its outputs fit "
            f"{fitting.name if fitting else 'none of ' + ', '.join(DECODERS)}: {_listed(shapes)}"
        )
    _check_raw(spec, shapes, source)
    if any(len(shape) > 2 and shape[0] not in (None, 1) for shape in shapes):
        raise PackError(f"{source}: expected a batch of one, got outputs {_listed(shapes)}")
    if size is not None:
        _check_size(decoder, shapes, size, source)


def check_detector(model: Model, spec: DetectorSpec, source: str) -> bool:
    """Run a detector on pictures of two sizes, or of the one that it takes; whether it gives
    landmarks.

    Raises PackError where it is not what the manifest declares, where it refuses the pictures, and
    where a picture of that size calls for other answers.
    """
    check_network(spec, model.shapes, model.size, source)
    decoder = declared_decoder(spec, source)
    expected = "expected a batch of one" if model.size else "expected a dynamic height and width"
    for height, width in [model.size] if model.size else PICTURES:
        picture = np.zeros((1, height, width, 3), np.uint8)
        outputs = _ran(model, picture, source, expected)
        _check_answers(decoder, [output.shape for output in outputs], (height, width), source)
    return decoder.landmarks(model.shapes)


def check_embedder(data: bytes, preprocess: Preprocess, size: tuple[int, int], source: str) -> int:
    """Run an embedder on a batch of one and of three; the length of its embeddings.

    Raises PackError where it refuses them, answers with anything but (N, D), or where a crop's
    embedding depends on the others in its batch.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    model = loaded(data, preprocess, source)
    alone = _ran(model, pictures[:1], source, "expected a network for this size")
    dim = _dim(alone, 1, source)
    together = _ran(model, pictures, source, "expected a dynamic batch: export it with one")
    if _dim(together, 3, source) != dim:
        raise PackError(f"{source}: expected embeddings of one length, got {dim} and others")
    lengths = np.linalg.norm(together[0].astype(np.float64), axis=1)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise PackError(f"{source}: expected finite embeddings that are not all zero, got others")
    cosine = float(alone[0][0] @ together[0][0]) / (np.linalg.norm(alone[0][0]) * lengths[0])
    if not cosine >= LEAST_COSINE:
        raise PackError(
            f"{source}: a crop's embedding changes with the batch it is in (cosine {cosine:.4f}): "
            "its batch was fixed when it was exported",
            mend="export it with a dynamic batch",
        )
    return dim


def check_everywhere(
    data: bytes, preprocess: Preprocess, size: tuple[int, int], source: str
) -> None:
    """Raises PackError where one of the runtimes that are installed refuses an embedder, or gives
    another embedding than the rest.
    """
    picture = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    rows: list[np.ndarray] = []
    for runtime in available_runtimes():
        where = replace(EXACT, runtime=runtime.name)
        model = loaded(data, preprocess, source, where)
        row = _ran(model, picture, source, f"expected a network that {runtime.name} runs")[0][0]
        rows.append(row / np.linalg.norm(row.astype(np.float64)))
        if not rows[0] @ row >= LEAST_COSINE * np.linalg.norm(row):
            raise PackError(f"{source}: {runtime.name} gives another embedding than the others")


def check_same(data: bytes, int8: bytes, spec: EmbedderSpec, source: str) -> float:
    """Run an embedder and its int8 form on made pictures; the least cosine of their embeddings.

    Raises PackError where the int8 form is no such network, or another one.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (3, *spec.size, 3), np.uint8)
    exact = loaded(data, spec.preprocess, source)
    coarse = loaded(int8, spec.preprocess, source, Device(precision="int8"))
    rows = [_ran(one, pictures, source, "expected its int8 form")[0] for one in (exact, coarse)]
    if rows[0].shape != rows[1].shape:
        raise PackError(f"{source}: expected {rows[0].shape} embeddings, got {rows[1].shape}")
    lengths = [np.linalg.norm(one.astype(np.float64), axis=1) for one in rows]
    cosine = float(np.min(np.sum(rows[0] * rows[1], axis=1) / (lengths[0] * lengths[1])))
    if not cosine >= LEAST_COSINE_OF_INT8:
        raise PackError(
            f"{source}: expected the same network in int8, got another: on made pictures their "
            f"embeddings have a cosine of {cosine:.4f}"
        )
    return cosine


def check_liveness(model: Model, spec: LivenessSpec, source: str) -> None:
    """Run a liveness network on a made picture. Raises PackError where it refuses it, or answers
    with anything but the finite numbers that the manifest declares.
    """
    picture = np.random.default_rng(0).integers(0, 256, (1, *spec.size, 3), np.uint8)
    outputs = _ran(model, picture, source, "expected a network for this size")
    fits = [output.shape for output in outputs] == [(1, spec.outputs)]
    if not fits or not np.isfinite(outputs[0]).all():
        got = ", ".join(str(output.shape) for output in outputs[:12]) or "no output"
        raise PackError(
            f"{source}: expected a liveness network, which answers a face with {spec.outputs} "
            f"finite numbers, got {got}"
        )


def loaded(data: bytes, preprocess: Preprocess, source: str, device: Device = EXACT) -> Model:
    """A network, in full precision if nothing else is said. Raises PackError for what is none."""
    try:
        return load_model(data, preprocess, device)
    except VisavisError as error:
        raise PackError(f"{source}: {error}") from error


def _ran(model: Model, pictures: np.ndarray, source: str, expected: str) -> Outputs:
    try:
        return model(pictures)
    except VisavisError as error:
        raise PackError(f"{source}: {expected}; {error}") from error


def _dim(outputs: Outputs, count: int, source: str) -> int:
    """The length of embeddings: of the first output, beside which there may be lengths (N, 1)."""
    shapes = [output.shape for output in outputs]
    lone = len(shapes) == 1 or (len(shapes) == 2 and shapes[1] == (count, 1))
    if not lone or len(shapes[0]) != 2 or shapes[0][0] != count or not shapes[0][1]:
        got = " and ".join(map(str, shapes)) or "no output"
        raise PackError(
            f"{source}: expected ({count}, D) embeddings, or these and ({count}, 1) lengths, "
            f"got {got}"
        )
    return int(shapes[0][1])


def _check_size(decoder: Decoder, shapes: OutputShapes, size: tuple[int, int], source: str) -> None:
    if any(side % STRIDE for side in size):
        raise PackError(
            f"{source}: expected a network for sides that are multiples of {STRIDE}, got one for "
            f"{size[0]}x{size[1]}"
        )
    alone = [(1, *shape[1:]) if len(shape) > 2 else tuple(shape) for shape in shapes]
    fixed = [[side for side in shape if side is not None] for shape in alone]
    if [*map(len, fixed)] == [*map(len, shapes)]:
        _check_answers(decoder, fixed, size, source)


def _check_answers(
    decoder: Decoder, shapes: Sequence[Sequence[int]], size: tuple[int, int], source: str
) -> None:
    """Raises PackError for answers that are not as many as one picture of this size calls for."""
    if tuple(math.prod(shape) for shape in shapes) not in decoder.numbers(*size):
        raise PackError(
            f"{source}: a picture of {size[0]}x{size[1]} calls for other answers than "
            f"{_listed(shapes)}: was it exported for another size?"
        )


def _check_raw(spec: DetectorSpec, shapes: OutputShapes, source: str) -> None:
    """Raises PackError where anchors or squashing are declared of outputs that are not raw, or
    anchors of another number of strides.
    """
    declared = spec.anchors is not None or spec.squashed_landmarks
    if declared and (spec.decoder != YOLOV5FACE.name or len(shapes) == 1):
        raise PackError(
            f"{source}: anchors and squashed_landmarks are {YOLOV5FACE.name}'s alone, where its "
            f"outputs are raw, got the {len(shapes)} of a {spec.decoder}"
        )
    if spec.anchors is not None and len(spec.anchors) != len(shapes):
        raise PackError(
            f"{source}: expected anchors for {len(shapes)} strides, got {len(spec.anchors)}"
        )


def _listed(shapes: Sequence[Sequence[int | None]]) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes[:12])
