"""Detectors' checkpoints load strictly, answer as others' ONNX files do, and convert."""

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="torch is of the extra convert: pip install '.[convert]'"
)

import onnx  # noqa: E402
from conftest import share  # noqa: E402
from made_detectors import CHECKPOINTS, EXACT, five_detectors  # noqa: E402

from visavis.convert.detectors import (  # noqa: E402
    FAMILIES,
    answers,
    convert_detector,
    detector_to_onnx,
    is_detector,
    load_detector_checkpoint,
    prove_detector,
)
from visavis.convert.weights import read_weights  # noqa: E402
from visavis.detect import DECODERS  # noqa: E402
from visavis.detect.yolov5face import ANCHORS  # noqa: E402
from visavis.errors import CheckpointError, ModelError  # noqa: E402
from visavis.image import read_image  # noqa: E402
from visavis.networks.resnet import ResNet50  # noqa: E402
from visavis.networks.retinaface import RetinaFace  # noqa: E402
from visavis.networks.yolov5face import YoloV5Face  # noqa: E402
from visavis.networks.yunet import YuNet  # noqa: E402
from visavis.pack.metadata import read_detector_metadata  # noqa: E402
from visavis.pack.network import read_network  # noqa: E402
from visavis.pack.signatures import decoder_of, fits_picture  # noqa: E402
from visavis.runtime import Preprocess, load_model  # noqa: E402

MADE = {
    "retinaface-resnet50": lambda: RetinaFace(ResNet50(), 256),
    "yunet": lambda: YuNet((16, 16, 32, 64, 64, 64, 64)),  # the widths of yunet_s
    "yolov5face-n-0.5": YoloV5Face,
}


def saved(network, path, change=lambda tensors: tensors):
    torch.save(change(dict(network.state_dict())), path)
    return path


@pytest.mark.parametrize("family", MADE)
def test_a_state_dict_finds_its_family_and_its_decoder(family, tmp_path):
    torch.manual_seed(0)
    network = MADE[family]().eval()
    wrapped = saved(
        network, tmp_path / "a.pth", lambda tensors: {f"module.{k}": v for k, v in tensors.items()}
    )
    checkpoint = load_detector_checkpoint(wrapped)
    assert checkpoint.family == family
    assert is_detector(read_weights(wrapped).tensors)
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 256, 3), np.uint8)
    outputs = answers(checkpoint, picture)
    assert decoder_of([one.shape for one in outputs]) == checkpoint.decoder
    assert fits_picture([one.size for one in outputs], 128, 256)
    assert DECODERS[checkpoint.decoder](outputs, 128, 256, min_score=1.1).scores.size == 0
    assert len(FAMILIES[family].outputs) == len(outputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {k: v for k, v in t.items() if "ssh2" not in k}, "30 missing: ssh2"),
        (lambda t: {**t, "more": torch.ones(1)}, "1 unexpected: more"),
        (lambda t: {**t, "ssh1.conv3X3.1.bias": torch.ones(3)}, "1 of another shape: ssh1"),
        (lambda t: {**t, "ssh1.conv3X3.1.bias": torch.full((32,), torch.nan)}, "1 no numbers"),
        (lambda t: {"a": torch.ones(2)}, "of no detector known here"),
        (lambda t: {"model.0.conv.weight": torch.ones(1), "model.9.anchor_grid": torch.ones(1)},
         r"other than n-0\.5, the one that is read here: export it to ONNX"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(change, message, data, tmp_path):
    tensors = read_weights(data / "models" / CHECKPOINTS["retinaface"]).tensors
    torch.save(change(tensors), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message) as refused:
        load_detector_checkpoint(tmp_path / "a.pth")
    assert str(tmp_path / "a.pth") in str(refused.value)


def test_an_embedders_checkpoint_is_no_detectors(data):
    path = data / "models" / "mobilefacenet_foamliu.pt"
    assert not is_detector(read_weights(path).tensors)
    with pytest.raises(CheckpointError, match="of no detector known here"):
        load_detector_checkpoint(path)


def test_anchors_and_strides_are_the_checkpoints(data):
    checkpoint = load_detector_checkpoint(data / "models" / CHECKPOINTS["yolov5face"])
    head = checkpoint.network.model["21"]
    assert head.anchor_grid.flatten(1).tolist() == [
        [float(side) for anchor in level for side in anchor] for level in ANCHORS[3]
    ]
    before = answers(checkpoint, np.zeros((1, 64, 64, 3), np.uint8))[0]
    head.anchor_grid *= 2
    head.anchors *= 2  # the stride is their ratio: it stays, and every size is doubled
    after = answers(checkpoint, np.zeros((1, 64, 64, 3), np.uint8))[0]
    np.testing.assert_allclose(after[..., :2], before[..., :2], rtol=1e-5)
    np.testing.assert_allclose(after[..., 2:4], 2 * before[..., 2:4], rtol=1e-5)


def test_yunets_checkpoint_answers_as_its_publishers_onnx(data):
    checkpoint = load_detector_checkpoint(data / "models" / CHECKPOINTS["yunet.pth"])
    theirs = load_model(
        (data / "models" / "yunet_n_dynamic.onnx").read_bytes(), Preprocess("bgr"), EXACT
    )
    boxes = 0
    for path in sorted((data / "data" / "lfw_people").rglob("*.jpg"))[:: 1580 // share(200)]:
        picture = np.ascontiguousarray(read_image(path)[None, :224, :224])
        ours, other = answers(checkpoint, picture), theirs(picture)
        for a, b in zip(ours, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
        found, expected = (
            DECODERS["yunet"](outputs, 224, 224, min_score=0.6) for outputs in (ours, other)
        )
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.01)
        boxes += len(found.scores)
    assert boxes > share(200)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_converted_detector_is_the_checkpoints_in_every_runtime(name, data, tmp_path):
    report = convert_detector(data / "models" / CHECKPOINTS[name], tmp_path / "a.onnx")
    assert max(report.parity.values()) < 1e-4
    model = onnx.load(tmp_path / "a.onnx")
    assert [value.name for value in model.graph.output] == [*FAMILIES[report.family].outputs]
    assert [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch", "", "32*rows", "32*columns",
    ]  # fmt: skip
    notes = read_detector_metadata(read_network(tmp_path / "a.onnx"))
    assert notes is not None
    assert (notes.decoder, notes.source_sha256) == (report.decoder, report.source_sha256)
    assert str(tmp_path) not in (tmp_path / "a.onnx").read_bytes().decode("latin-1")
    loaded = load_model((tmp_path / "a.onnx").read_bytes(), report.preprocess, EXACT)
    detect = five_detectors(data)[name]
    for path in sorted((data / "data" / "lfw_people").rglob("*.jpg"))[::400]:
        (a, *_), (b, *_) = (
            replaced(read_image(path)) for replaced in (detect, with_model(detect, loaded))
        )
        np.testing.assert_allclose(a.box, b.box, atol=0.05)
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.05)


def with_model(detect, model):
    from dataclasses import replace

    return replace(detect, model=model)


@pytest.mark.slow
def test_another_networks_file_is_no_proof(data):
    yunet = load_detector_checkpoint(data / "models" / CHECKPOINTS["yunet.pth"])
    file = detector_to_onnx(yunet)
    with torch.no_grad():
        yunet.network.backbone.model0.conv1.bias += 1
    with pytest.raises(ModelError, match=r"is not the checkpoint's: in .* nothing was written"):
        prove_detector(yunet, file)
